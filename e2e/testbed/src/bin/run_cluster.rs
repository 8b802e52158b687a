//! Runs a cluster with pods until Ctrl-C. Prints the path of its kubeconfig and the reference of the
//! operator's image, which is loaded: the arguments of `cargo demo -- --kubeconfig FILE --image REF`.

use anyhow::Result;
use clap::Parser;
use testbed::cluster::Cluster;
use testbed::image;
use testbed::run_folder::RunFolder;
use testbed::tools::Tools;

/// Runs a cluster with pods until Ctrl-C. Prints the path of its kubeconfig and the reference of the
/// operator's image.
#[derive(Parser)]
struct Arguments {}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {} = Arguments::parse();
    let tools = Tools::ensure(&Cluster::TOOLS).await?;
    let folder = RunFolder::create()?;
    let start = std::time::Instant::now();
    let cluster = Cluster::start(&tools).await?;
    eprintln!("cluster ready after {:?}, compiling the image", start.elapsed());
    let binary = image::compile(|line| eprintln!("{line}")).await?;
    let image = image::build(&binary, folder.path()).await?;
    cluster.load(&image).await?;
    println!("{} {}", cluster.kubeconfig().display(), image.reference);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
