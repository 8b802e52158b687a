//! A cluster with pods that stays until it is killed; prints its kubeconfig.

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::tools::Tools;

#[tokio::main]
async fn main() -> Result<()> {
    let tools = Tools::ensure(&Cluster::TOOLS).await?;
    let start = std::time::Instant::now();
    let cluster = Cluster::start(&tools).await?;
    eprintln!("ready after {:?}", start.elapsed());
    println!("{}", cluster.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
