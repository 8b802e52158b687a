//! What the crate is shown of a Lease, from what was observed of it. Pure: the caller passes the
//! time.

use std::time::Duration;

use crate::election::lease_guard::record::Record;

/// Upper limit on the duration that a Lease declares, so that a client cannot block the election
/// for longer by declaring more.
pub const MAX_DECLARED: Duration = Duration::from_mins(1);
/// The holder that is presented for a missing Lease that may not be created yet.
const MISSING: &str = "no process (the Lease is missing)";
/// The holder that is presented to a leader whose Lease has none.
const NONE: &str = "no process";

/// A record, and since when it has not changed. Times are on the boot-time clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    /// `None` if the Lease is missing.
    record: Option<Record>,
    since: Duration,
    /// The duration that the Lease declares, or declared before it was deleted.
    declared_seconds: Option<i64>,
    /// Whether any response so far contained the Lease.
    has_existed: bool,
}

/// What this process wants the Lease for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// To acquire it once it is free.
    Candidate,
    /// The same, after it found no leader record: a Lease that has never existed may be created.
    FirstCandidate,
    /// The same, after it found proof that the process that holds this very record has ended.
    Successor,
    /// To renew it.
    Leader,
}

/// What the crate is shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseView {
    /// The Lease is missing: the crate creates it.
    Missing,
    /// A Lease with every field that the crate reads.
    Lease {
        /// The holder; empty only if the Lease is free.
        holder: String,
        /// Whether the crate may acquire it.
        is_free: bool,
        /// A number that the crate can increment.
        transitions: i32,
    },
}

// === impl Observation ===

impl Observation {
    /// The observation after a response that arrived at `now` and contained `record`, or `None`
    /// if the Lease is missing. `before` is the observation so far.
    #[must_use]
    pub fn after(before: Option<Self>, record: Option<Record>, now: Duration) -> Self {
        let declared_seconds = match (&record, &before) {
            (Some(record), _) => record.duration_seconds,
            (None, Some(before)) => before.declared_seconds,
            (None, None) => None,
        };
        let has_existed = record.is_some() || before.as_ref().is_some_and(|it| it.has_existed);
        let since = before.filter(|before| before.record == record).map_or(now, |it| it.since);
        Self { record, since, declared_seconds, has_existed }
    }

    /// The record; `None` if the Lease is missing.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether no response so far contained the Lease.
    #[must_use]
    pub const fn has_never_existed(&self) -> bool {
        !self.has_existed
    }

    /// How long the Lease is valid after its last change: the declared duration, at most
    /// [`MAX_DECLARED`], at least `ours`.
    #[must_use]
    pub fn time_to_live(&self, ours: Duration) -> Duration {
        let declared = self.declared_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let declared = declared.map(Duration::from_secs).unwrap_or_default();
        ours.max(declared.min(MAX_DECLARED))
    }

    /// What the crate is shown in response to a request that was sent at `now`. `ours` is the
    /// configured lease duration.
    #[must_use]
    pub fn view(&self, now: Duration, ours: Duration, role: Role) -> LeaseView {
        let is_expired = now.saturating_sub(self.since) >= self.time_to_live(ours);
        let may_acquire = role != Role::Leader;
        let Some(record) = &self.record else {
            let is_first = role == Role::FirstCandidate && !self.has_existed;
            let may_create = may_acquire && (is_expired || is_first);
            return if may_create { LeaseView::Missing } else { held(MISSING, 0) };
        };
        let transitions = countable(record.transitions);
        match record.holder.as_deref().unwrap_or_default() {
            "" if may_acquire => {
                LeaseView::Lease { holder: String::new(), is_free: true, transitions }
            }
            "" => held(NONE, transitions),
            holder => LeaseView::Lease {
                holder: holder.to_owned(),
                is_free: may_acquire && (is_expired || role == Role::Successor),
                transitions,
            },
        }
    }
}

fn held(holder: &str, transitions: i32) -> LeaseView {
    LeaseView::Lease { holder: holder.to_owned(), is_free: false, transitions }
}

/// The crate adds one, in 32 bits, and the API server refuses negative numbers.
fn countable(transitions: Option<i64>) -> i32 {
    let transitions = transitions.and_then(|count| i32::try_from(count).ok());
    transitions.filter(|count| (0..i32::MAX).contains(count)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
