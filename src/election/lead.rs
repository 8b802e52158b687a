//! The right to write, and how long it lasts.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::election::Lost;
use crate::election::clock::boot_time;
use crate::kubernetes::error::NotLeading;

/// The right to write to the cluster. Only `election` makes one.
///
/// It lasts until a deadline on the boot-time clock, which each renewal of the Lease moves. Once
/// it has passed, it never comes back: a new term is a new process.
#[derive(Clone, Debug)]
pub struct Lead {
    deadline: Arc<AtomicU64>,
    /// Why it ended before its deadline, if it did.
    why: Arc<OnceLock<Lost>>,
}

// === impl Lead ===

impl Lead {
    pub(super) fn until(deadline: Duration) -> Self {
        let deadline = AtomicU64::new(nanoseconds(deadline));
        Self { deadline: Arc::new(deadline), why: Arc::default() }
    }

    /// Moves the deadline to a later time. A deadline that has passed stays passed, and one that
    /// is later already is kept.
    pub(super) fn extend(&self, deadline: Duration) {
        let (now, later) = (nanoseconds(boot_time()), nanoseconds(deadline));
        // In one step: somebody else may end it meanwhile. What has passed is left as it is.
        let moved = |deadline: u64| (deadline > now).then(|| deadline.max(later));
        let _ = self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, moved);
    }

    /// Ends it now.
    pub(super) fn end(&self) {
        self.deadline.store(0, Ordering::Release);
    }

    /// Ends it now, for a reason that [`Lead::why_it_ended`] will give.
    pub(super) fn end_because(&self, why: Lost) {
        // The first reason counts.
        let _ = self.why.set(why);
        self.end();
    }

    /// Why it ended: its deadline has passed, unless something else was said.
    pub(super) fn why_it_ended(&self) -> Lost {
        self.why.get().cloned().unwrap_or(Lost::Deadline)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(time_left: Duration) -> Self {
        Self::until(boot_time() + time_left)
    }

    #[cfg(test)]
    pub(crate) fn end_for_tests(&self) {
        self.end();
    }

    /// How long it still lasts.
    ///
    /// # Errors
    /// [`NotLeading`] once the deadline has passed.
    pub fn remaining(&self) -> Result<Duration, NotLeading> {
        let deadline = Duration::from_nanos(self.deadline.load(Ordering::Acquire));
        match deadline.checked_sub(boot_time()) {
            Some(remaining) if !remaining.is_zero() => Ok(remaining),
            _ => Err(NotLeading),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn it_lasts_until_its_deadline() {
        let lead = Lead::until(boot_time() + HOUR);
        assert!(lead.remaining().unwrap() > HOUR / 2);
    }

    #[test]
    fn it_ends_with_its_deadline() {
        assert_eq!(Lead::until(boot_time()).remaining(), Err(NotLeading));
    }

    #[test]
    fn it_tells_why_it_ended() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.clone().end_because(Lost::ToAnnounced("b".to_owned()));
        assert_eq!(lead.remaining(), Err(NotLeading));
        assert_eq!(lead.why_it_ended(), Lost::ToAnnounced("b".to_owned()));
        assert_eq!(Lead::until(boot_time()).why_it_ended(), Lost::Deadline);
    }

    #[test]
    fn once_ended_it_cannot_be_extended() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.end();
        lead.extend(boot_time() + HOUR);
        assert_eq!(lead.remaining(), Err(NotLeading));
    }

    #[test]
    fn a_renewal_never_shortens_it() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.extend(boot_time());
        assert!(lead.remaining().is_ok());
    }
}
