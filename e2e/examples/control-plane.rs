//! A control plane that stays until it is killed; prints its folder.

use anyhow::Result;
use e2e::control_plane::ControlPlane;

#[tokio::main]
async fn main() -> Result<()> {
    let start = std::time::Instant::now();
    let control_plane = ControlPlane::start().await?;
    eprintln!("ready after {:?}", start.elapsed());
    println!("{}", control_plane.folder().display());
    std::future::pending().await
}
