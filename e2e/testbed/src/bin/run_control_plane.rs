//! Runs a control plane until Ctrl-C, and prints the path of its kubeconfig.

use anyhow::Result;
use testbed::control_plane::ControlPlane;

#[tokio::main]
async fn main() -> Result<()> {
    let start = std::time::Instant::now();
    let control_plane = ControlPlane::start().await?;
    eprintln!("ready after {:.1} s, ends with Ctrl-C", start.elapsed().as_secs_f32());
    println!("{}", control_plane.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
