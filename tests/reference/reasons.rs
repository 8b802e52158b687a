//! Reasons, from the enum.

use configmapsync::decide::reason::Reason;
use configmapsync::decide::reason::Retry;
use strum::EnumMessage as _;
use strum::VariantArray as _;

use crate::table::code;
use crate::table::prose;
use crate::table::table;

/// Every reason, the most severe first.
pub fn reasons() -> String {
    let rows: Vec<_> = Reason::VARIANTS
        .iter()
        .map(|reason| {
            let doc = reason.get_documentation().unwrap_or_default();
            assert!(!doc.is_empty(), "{reason} has no doc comment");
            [
                code(reason.as_str()),
                condition(*reason == Reason::Synced),
                stalled(*reason),
                retried(*reason).to_owned(),
                prose(doc),
            ]
        })
        .collect();
    format!(
        "The reason of the condition `Ready`, of Events, of the metric \
         `configmapsync_syncs` and of spans. The most severe comes first: of several \
         destinations, the first of this list is the reason of the ConfigMapSync.\n\n\
         Retried *on change*: when something changes that the operator watches and that can \
         resolve it, and every `--resync-period`. *With backoff*: after 1 s, doubling, up to 30 s \
         for what the API server suffers from, and 5 minutes for what it refuses.\n\n{}",
        table(["reason", "Ready", "Stalled", "retried", "meaning"], &rows)
    )
}

fn condition(holds: bool) -> String {
    if holds { "True" } else { "False" }.to_owned()
}

fn stalled(reason: Reason) -> String {
    if reason.is_stalled() { "True".to_owned() } else { String::new() }
}

const fn retried(reason: Reason) -> &'static str {
    match reason.retry() {
        Retry::Immediately => "immediately",
        Retry::Backoff => "with backoff",
        Retry::WithReplacement => "with the replacement",
        Retry::OnChange => "on change",
    }
}
