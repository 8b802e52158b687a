//! What may be believed of a Lease.
//!
//! `kube-leader-election` judges by the wall clock of the machine that wrote the Lease, and fails
//! for ever on what it does not expect. So it is never shown the Lease itself, but what [`show`]
//! makes of it: by our own boot-time clock, from the moment we saw the record change. Pure: no
//! clock, no client, no lock; whoever calls tells the time. [`layer`] puts it around the crate.
//!
//! Guarantees: a Lease that is renewed at least once per [`Seen::patience`] is never shown as free; one
//! that is not is shown as free at the latest [`MAX_DECLARED`] (or our own duration, if that is
//! longer) after it was first seen so. Whoever leads is never shown a Lease that it could take
//! anew: it renews its own, or has lost it.

pub mod layer;
mod rewrite;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use rewrite::record;

/// A duration that a Lease declares counts up to this: nobody can lock everybody out for days.
pub const MAX_DECLARED: Duration = Duration::from_mins(1);
/// What stands for the holder of a Lease that is not there.
pub const NOBODY: &str = "nobody: the Lease was deleted";
/// The duration that a leader leaves behind when it steps down, as the crate does it.
const RELEASED_SECONDS: i64 = 1;

/// What is in a Lease, word by word: times are kept as text, since whatever can be stored must be
/// readable, and nobody reads them as times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// `metadata.uid`: a Lease that was deleted and created again is another.
    pub uid: Option<String>,
    /// `spec.holderIdentity`
    pub holder: Option<String>,
    /// `spec.leaseDurationSeconds`
    pub duration_seconds: Option<i64>,
    /// `spec.acquireTime`
    pub acquire_time: Option<String>,
    /// `spec.renewTime`
    pub renew_time: Option<String>,
    /// `spec.leaseTransitions`
    pub transitions: Option<i64>,
}

/// A record, and since when it has been so. Times are of the boot-time clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    record: Option<Record>,
    since: Duration,
    /// What the last Lease that there was declared.
    declared_seconds: Option<i64>,
}

/// What we want the Lease for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// To lead, as soon as nobody else does.
    Candidate,
    /// To go on leading.
    Leader,
}

/// What the crate may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    /// There is no Lease: it creates one.
    Absent,
    /// A Lease with every field that the crate reads.
    Lease {
        /// Who holds it: empty for nobody, and never empty unless it is free.
        holder: String,
        /// Whether it may be taken.
        is_free: bool,
        /// How often it has changed hands, within what the crate can add one to.
        transitions: i32,
    },
}

// === impl Record ===

impl Record {
    /// Whether a leader gave it back in peace: then it writes no more.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.holder.as_deref() == Some("") && self.duration_seconds == Some(RELEASED_SECONDS)
    }

    fn holder(&self) -> &str {
        self.holder.as_deref().unwrap_or_default()
    }
}

// === impl Seen ===

impl Seen {
    /// The Lease was found to be `record`, `None` if there was none, by an answer that came at
    /// `now`; `before` is what was known until then.
    #[must_use]
    pub fn of(before: Option<Self>, record: Option<Record>, now: Duration) -> Self {
        let declared_seconds = match (&record, &before) {
            (Some(record), _) => record.duration_seconds,
            (None, Some(before)) => before.declared_seconds,
            (None, None) => None,
        };
        let since = before.filter(|before| before.record == record).map_or(now, |it| it.since);
        Self { record, since, declared_seconds }
    }

    /// The record, if there is a Lease.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// How long its holder is believed in after a sign of life: as long as it asks for, within
    /// bounds, and no shorter than `ours`.
    #[must_use]
    pub fn patience(&self, ours: Duration) -> Duration {
        let declared = self.declared_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let declared = declared.map(Duration::from_secs).unwrap_or_default();
        ours.max(declared.min(MAX_DECLARED))
    }
}

/// What the crate may see of a Lease that was `seen`, by a request that was sent at `now`, in the
/// `role` that we have, where Leases last as long as `ours`.
#[must_use]
pub fn show(seen: &Seen, now: Duration, ours: Duration, role: Role) -> Shown {
    let is_old = now.saturating_sub(seen.since) >= seen.patience(ours);
    let may_take = role == Role::Candidate;
    let Some(record) = &seen.record else {
        return if is_old && may_take { Shown::Absent } else { held(NOBODY, 0) };
    };
    let transitions = countable(record.transitions);
    match record.holder() {
        "" if may_take => Shown::Lease { holder: String::new(), is_free: true, transitions },
        "" => held("nobody", transitions),
        holder => {
            Shown::Lease { holder: holder.to_owned(), is_free: is_old && may_take, transitions }
        }
    }
}

fn held(holder: &str, transitions: i32) -> Shown {
    Shown::Lease { holder: holder.to_owned(), is_free: false, transitions }
}

/// The crate adds one, in 32 bits, and the API server takes nothing below zero.
fn countable(transitions: Option<i64>) -> i32 {
    let transitions = transitions.and_then(|count| i32::try_from(count).ok());
    transitions.filter(|count| (0..i32::MAX).contains(count)).unwrap_or_default()
}
