//! Leader records and writes of copies, from the audit log in the order of revisions.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use k8s_openapi::jiff::SignedDuration;
use testbed::audit::Event;

use crate::support::audit::copy_writes;

/// The revision of a write; `None` for a deletion.
pub fn revision(event: &Event) -> Option<u64> {
    let object = event.response_object.as_ref()?;
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// The successful writes of the leader record, oldest first.
pub fn leader_records(events: &[Event]) -> Vec<&Event> {
    let mut found: Vec<_> = events
        .iter()
        .filter(|it| it.resource() == "configmapsyncleaders" && it.is_write() && it.succeeded())
        .filter(|it| revision(it).is_some())
        .collect();
    found.sort_by_key(|event| revision(event));
    found
}

/// Fails unless each write of a copy is by the pod of the newest leader record. Returns the number
/// of writes.
///
/// For the time `unaware`, a former leader that lost the Lease by force may write: it has not
/// noticed.
pub fn ensure_only_recorded_leaders_wrote(events: &[Event], unaware: Duration) -> Result<usize> {
    let records = leader_records(events);
    let writes = copy_writes(events).into_iter().filter(|write| write.succeeded());
    let mut count = 0;
    for write in writes {
        let Some(written) = revision(write) else { continue };
        let newest = records.iter().rev().find(|it| revision(it) < Some(written));
        let Some(newest) = newest else {
            ensure!(records.is_empty(), "written before the first leader record: {write}");
            continue;
        };
        let late = write.stage_timestamp.0.duration_since(newest.stage_timestamp.0);
        let is_unaware = late < SignedDuration::try_from(unaware)?;
        ensure!(
            write.pod_uid() == newest.pod_uid() || is_unaware,
            "{write}, {late:?} after the leader record of another pod: {newest}"
        );
        count += 1;
    }
    Ok(count)
}
