//! The questions that tests ask of the audit log.

use anyhow::Result;
use anyhow::ensure;
use testbed::accounts::OPERATOR_USER;
use testbed::audit::Event;
use testbed::audit::lines;

/// What the operator did to `ConfigMap`s and `ConfigMapSync`s, status included; also what was
/// refused, because it tried.
#[must_use]
pub fn writes_by_operator(events: &[Event]) -> Vec<&Event> {
    let resources = ["configmaps", "configmapsyncs"];
    requests_by_operator(events)
        .filter(|event| event.is_write() && resources.contains(&event.resource()))
        .collect()
}

/// Where the operator was answered with the data of `ConfigMap`s, one or many.
#[must_use]
pub fn data_reads_by_operator(events: &[Event]) -> Vec<&Event> {
    requests_by_operator(events).filter(|event| event.reads_data()).collect()
}

/// All requests of the operator that have ended, of whatever pod.
pub fn requests_by_operator(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.is_final() && event.user.username == OPERATOR_USER)
}

/// Whether a request is about who leads, not about anything to be done. So are dry runs: by them the
/// operator finds out whether the fence is up.
#[must_use]
pub fn is_about_leadership(event: &Event) -> bool {
    event.is_dry_run() || ["leases", "configmapsyncleaders"].contains(&event.resource())
}

/// Those of `tries` that succeeded, where nothing else befell the others than this HTTP status: an
/// API server that does not know yet who is announced refuses (403), and a version that has
/// changed meanwhile is looked at anew (409); then it is asked again.
pub fn succeeded_after_retries<'a>(tries: &[&'a Event], status: u16) -> Result<Vec<&'a Event>> {
    let (succeeded, failed): (Vec<&Event>, Vec<&Event>) =
        tries.iter().copied().partition(|event| event.succeeded());
    let as_said = failed.iter().all(|event| event.response_status.code == status);
    ensure!(as_said, "not only {status}:\n{}", lines(&failed));
    Ok(succeeded)
}

/// What the operator did, or tried to do, to the `ConfigMap`s of one namespace.
#[must_use]
pub fn copy_writes_in<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    writes_by_operator(events)
        .into_iter()
        .filter(|event| event.resource() == "configmaps" && event.namespace() == namespace)
        .collect()
}
