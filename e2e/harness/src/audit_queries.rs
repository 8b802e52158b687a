//! The operator's requests, filtered from the audit log.

use anyhow::Result;
use anyhow::ensure;
use testbed::accounts::OPERATOR_USER;
use testbed::audit::Event;
use testbed::audit::lines;

/// The operator's writes to `ConfigMap`s and `ConfigMapSync`s, including their status; refused
/// requests count.
#[must_use]
pub fn writes_by_operator(events: &[Event]) -> Vec<&Event> {
    let resources = ["configmaps", "configmapsyncs"];
    requests_by_operator(events)
        .filter(|event| event.is_write() && resources.contains(&event.resource()))
        .collect()
}

/// The operator's requests whose response contains data of `ConfigMap`s: gets, lists and watches.
#[must_use]
pub fn data_reads_by_operator(events: &[Event]) -> Vec<&Event> {
    requests_by_operator(events).filter(|event| event.reads_data()).collect()
}

/// All completed requests of the operator's account, from any pod.
pub fn requests_by_operator(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.is_final() && event.user.username == OPERATOR_USER)
}

/// Whether a request belongs to leader election: the Lease, the pod of its holder, the leader record, or
/// a dry run, by which the operator probes the fence.
#[must_use]
pub fn is_about_leadership(event: &Event) -> bool {
    event.is_dry_run() || ["leases", "pods", "configmapsyncleaders"].contains(&event.resource())
}

/// The successful ones of `requests`. Fails if any other has an HTTP status other than `status`.
///
/// The operator retries two refusals: 403 while an API server has not received the new leader record
/// yet, and 409 after a concurrent change of the object.
pub fn succeeded_after_retries<'a>(requests: &[&'a Event], status: u16) -> Result<Vec<&'a Event>> {
    let (succeeded, failed): (Vec<&Event>, Vec<&Event>) =
        requests.iter().copied().partition(|event| event.succeeded());
    let all_expected = failed.iter().all(|event| event.response_status.code == status);
    ensure!(all_expected, "requests failed with a status other than {status}:\n{}", lines(&failed));
    Ok(succeeded)
}

/// The operator's writes to the `ConfigMap`s of one namespace; refused requests count.
#[must_use]
pub fn copy_writes_in<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    writes_by_operator(events)
        .into_iter()
        .filter(|event| event.resource() == "configmaps" && event.namespace() == namespace)
        .collect()
}
