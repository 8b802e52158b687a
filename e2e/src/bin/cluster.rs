//! A cluster with pods that stays until Ctrl-C; prints its kubeconfig, and the operator's image,
//! which it has. `cargo demo -- --kubeconfig FILE --image REF` may use it.

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::image;
use e2e::run_folder::RunFolder;
use e2e::tools::Tools;

#[tokio::main]
async fn main() -> Result<()> {
    let tools = Tools::ensure(&Cluster::TOOLS).await?;
    let folder = RunFolder::create()?;
    let start = std::time::Instant::now();
    let cluster = Cluster::start(&tools).await?;
    eprintln!("ready after {:?}", start.elapsed());
    let binary = image::compile(|line| eprintln!("{line}")).await?;
    let image = image::build(&binary, folder.path()).await?;
    cluster.load(&image).await?;
    println!("{} {}", cluster.kubeconfig().display(), image.reference);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
