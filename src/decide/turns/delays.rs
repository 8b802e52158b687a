//! Requests for a later time: of each sync, the earliest.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;

/// The syncs with a request for a later time.
#[derive(Debug, Default)]
pub(super) struct Delays {
    times: BTreeMap<NamespacedName, Duration>,
    in_order: BTreeSet<(Duration, NamespacedName)>,
}

// === impl Delays ===

impl Delays {
    /// Requests `sync` for the time `at`, unless it is requested for an earlier one.
    pub(super) fn request(&mut self, sync: NamespacedName, at: Duration) {
        let at = self.withdraw(&sync).map_or(at, |earlier| earlier.min(at));
        self.times.insert(sync.clone(), at);
        self.in_order.insert((at, sync));
    }

    /// Withdraws the request for `sync`. Returns its time.
    pub(super) fn withdraw(&mut self, sync: &NamespacedName) -> Option<Duration> {
        let (sync, at) = self.times.remove_entry(sync)?;
        self.in_order.remove(&(at, sync));
        Some(at)
    }

    /// Withdraws a request whose time has come, and returns its sync.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<NamespacedName> {
        let (_, sync) = self.in_order.first().filter(|(at, _)| *at <= now)?.clone();
        self.withdraw(&sync);
        Some(sync)
    }

    /// The time of the earliest request.
    pub(super) fn earliest(&self) -> Option<Duration> {
        self.in_order.first().map(|(at, _)| *at)
    }
}
