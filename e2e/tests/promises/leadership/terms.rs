//! Who was announced when, and who wrote: told from the audit log, in the order of revisions.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use k8s_openapi::jiff::SignedDuration;
use testbed::audit::Event;

use crate::support::audit::copy_writes;

/// The revision that a write made; none for what is gone.
pub fn revision(event: &Event) -> Option<u64> {
    let object = event.response_object.as_ref()?;
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// The announcements that took effect, oldest first.
pub fn announcements(events: &[Event]) -> Vec<&Event> {
    let mut found: Vec<_> = events
        .iter()
        .filter(|it| it.resource() == "configmapsyncleaders" && it.is_write() && it.succeeded())
        .filter(|it| revision(it).is_some())
        .collect();
    found.sort_by_key(|event| revision(event));
    found
}

/// Makes sure that only the pod announced wrote copies; how many writes there were.
///
/// Where no fence is installed, an old leader that loses the Lease by force may not know for the
/// time `unaware`.
pub fn only_the_announced_wrote(events: &[Event], unaware: Duration) -> Result<usize> {
    let announcements = announcements(events);
    let writes = copy_writes(events).into_iter().filter(|write| write.succeeded());
    let mut count = 0;
    for write in writes {
        let Some(written) = revision(write) else { continue };
        let newest = announcements.iter().rev().find(|it| revision(it) < Some(written));
        let Some(newest) = newest else {
            ensure!(announcements.is_empty(), "written before anybody was announced: {write}");
            continue;
        };
        let late = write.stage_timestamp.0.duration_since(newest.stage_timestamp.0);
        let is_unaware = late < SignedDuration::try_from(unaware)?;
        ensure!(
            write.pod_uid() == newest.pod_uid() || is_unaware,
            "{write}, {late:?} after another was announced: {newest}"
        );
        count += 1;
    }
    Ok(count)
}
