//! Builds the programs of the test clusters, such as etcd and kube-apiserver, and prints their paths.
//!
//! The arguments are names of tool sets; without arguments, all sets are built.

use anyhow::Context;
use anyhow::Result;
use testbed::tools::Set;
use testbed::tools::Tools;

#[tokio::main]
async fn main() -> Result<()> {
    let mut sets = Vec::new();
    for name in std::env::args().skip(1) {
        let set = Set::ALL.into_iter().find(|set| set.name() == name);
        sets.push(set.with_context(|| format!("{name:?} is not the name of a tool set"))?);
    }
    if sets.is_empty() {
        sets.extend(Set::ALL);
    }
    let tools = Tools::ensure(&sets).await?;
    for program in sets.iter().flat_map(|set| set.programs()) {
        println!("{}", tools.path(program)?.display());
    }
    Ok(())
}
