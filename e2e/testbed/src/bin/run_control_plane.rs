//! Runs a control plane until Ctrl-C, and prints the path of its kubeconfig.

use anyhow::Result;
use clap::Parser;
use testbed::control_plane::ControlPlane;

/// Runs an API server without pods until Ctrl-C, and prints the path of its kubeconfig.
#[derive(Parser)]
struct Arguments {}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {} = Arguments::parse();
    let start = std::time::Instant::now();
    let control_plane = ControlPlane::start().await?;
    eprintln!("ready after {:.1} s, ends with Ctrl-C", start.elapsed().as_secs_f32());
    println!("{}", control_plane.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
