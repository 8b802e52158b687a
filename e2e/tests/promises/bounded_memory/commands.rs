//! The memory of commands.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::operator_cluster::OperatorCluster;
use harness::replica::operator_binary;
use testbed::process::Program;
use tokio::time::interval;

use crate::support::process::peak_kib;

/// How often the peak is read. It only grows, so that little is missed at the end.
const BETWEEN: Duration = Duration::from_millis(2);

/// Runs a command, and returns the peak of its resident memory in KiB.
pub async fn peak_of_command(cluster: &OperatorCluster, arguments: &[&str]) -> Result<u64> {
    let name = arguments.join("-");
    let log = cluster.control_plane.folder().join(format!("command-{name}.log"));
    let program = Program::new(operator_binary().await?, log)
        .arguments(arguments)
        .argument("--kubeconfig")
        .argument(cluster.control_plane.kubeconfig())
        .environment("MIMALLOC_PURGE_DELAY", "0");
    let process = program.start()?;
    let (mut clock, mut peak) = (interval(BETWEEN), 0);
    while process.exit_status()?.is_none() {
        clock.tick().await;
        // It may have ended meanwhile.
        peak = peak.max(peak_kib(&process).unwrap_or_default());
    }
    let status = process.exit_status()?.context("the command has ended")?;
    ensure!(peak > 0, "{name} ended with {status} at once:\n{}", process.tail(5));
    eprintln!("{name} ended with {status}: {}", process.tail(2));
    Ok(peak)
}
