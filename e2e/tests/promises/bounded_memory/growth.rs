//! The growth of memory, and its bound.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::replica::Replica;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::process::peak_kib;
use crate::support::scale::quick_or_full;
use crate::watch_recovers::lists_and_watches;

/// How much more memory the objects may take, in KiB.
const BOUND: u64 = 32 * 1024;

/// The time for a list of all objects to be sent and decoded, on a machine under load.
pub fn listed() -> Duration {
    quick_or_full(Duration::from_mins(2), Duration::from_mins(5))
}

/// Memory in KiB without and with the large objects.
pub struct Growth {
    pub what: &'static str,
    pub without: u64,
    pub with: u64,
}

/// Fails if one of them is above the bound.
pub fn ensure_bounded(growths: &[Growth]) -> Result<()> {
    for Growth { what, without, with } in growths {
        eprintln!("{what}: peak {} MiB, without them {} MiB", with / 1024, without / 1024);
    }
    for Growth { what, without, with } in growths {
        ensure!(
            *with <= without + BOUND,
            "{what}: the peak grew from {without} KiB to {with} KiB, by more than {BOUND} KiB"
        );
    }
    Ok(())
}

/// Starts a replica again, and returns its peak of memory until it is ready.
pub async fn start_again(replica: &mut Replica) -> Result<u64> {
    replica.terminate_and_restart().await?;
    until("the replica is ready again", listed(), || async {
        replica.process().expect_running()?;
        let is_ready = replica.is_ready().await.unwrap_or_default();
        Ok(Seen::from_bool(is_ready, || "not ready".to_owned()))
    })
    .await?;
    peak_kib(replica.process())
}

/// Ends the watch of `resource` with a 410, and waits until the operator has listed and watches again.
pub async fn relist(proxy: &FaultProxy, resource: &str) -> Result<()> {
    let first = proxy.count();
    let expired = Fault::Respond(CannedResponse::failure(410));
    proxy.add(Rule::new(expired).resource(resource).when(Request::is_watch));
    proxy.cut_watches(resource);
    until(format!("{resource} were listed again"), listed(), || async {
        let (lists, watches) = lists_and_watches(proxy, first, resource);
        if watches > 0 {
            proxy.clear();
        }
        Ok(Seen::from_bool(lists > 0 && watches > 1, || {
            format!("{lists} lists, {watches} watches")
        }))
    })
    .await
}
