//! Builds all tool sets, or those named as arguments, and prints the paths of their programs.

use anyhow::Context;
use anyhow::Result;
use testbed::tools::Set;
use testbed::tools::Tools;

#[tokio::main]
async fn main() -> Result<()> {
    let mut sets = Vec::new();
    for name in std::env::args().skip(1) {
        let set = Set::ALL.into_iter().find(|set| set.name() == name);
        sets.push(set.with_context(|| format!("no tool set is called {name}"))?);
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
