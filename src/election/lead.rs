//! The token that permits writes, and how long it is valid.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::election::clock::boot_time;
use crate::election::lost::Lost;
use crate::kubernetes::error::NotLeading;

/// Permission to write to the cluster. Only `election` creates one.
///
/// It is valid until a deadline on the boot-time clock, which each renewal of the Lease extends.
/// An expired `Lead` never becomes valid again: a new term requires a new process.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Boot time in nanoseconds.
    deadline: Arc<AtomicU64>,
    /// Boot time until which writes of the previous leader may take effect.
    late_writes: Duration,
    /// Set if it ended for another reason than its deadline.
    lost: Arc<OnceLock<Lost>>,
}

// === impl Lead ===

impl Lead {
    pub(super) fn until(deadline: Duration) -> Self {
        let deadline = AtomicU64::new(nanoseconds(deadline));
        Self { deadline: Arc::new(deadline), late_writes: Duration::ZERO, lost: Arc::default() }
    }

    /// The same, after a leader whose writes may take effect until `time`.
    pub(super) fn with_late_writes_until(self, time: Duration) -> Self {
        Self { late_writes: time, ..self }
    }

    /// How long a write of a crashed leader may still take effect: until then, no finalizer is removed
    /// and no orphan is collected. `None` if it no longer may.
    #[must_use]
    pub fn late_writes(&self) -> Option<Duration> {
        self.late_writes.checked_sub(boot_time()).filter(|remaining| !remaining.is_zero())
    }

    /// Extends the deadline. Has no effect if the present deadline has passed or is later.
    pub(super) fn extend(&self, deadline: Duration) {
        let (now, later) = (nanoseconds(boot_time()), nanoseconds(deadline));
        // Compare-and-swap: another task may end the lead at the same time.
        let extended = |deadline: u64| (deadline > now).then(|| deadline.max(later));
        let _ = self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    /// Ends it now.
    pub(super) fn end(&self) {
        self.deadline.store(0, Ordering::Release);
    }

    /// Ends it now. [`Lead::lost`] returns the first reason that was given.
    pub(super) fn end_because(&self, lost: Lost) {
        let _ = self.lost.set(lost);
        self.end();
    }

    /// Why it ended; the deadline if no other reason was given.
    pub(super) fn lost(&self) -> Lost {
        self.lost.get().cloned().unwrap_or(Lost::Deadline)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(time_left: Duration) -> Self {
        Self::until(boot_time() + time_left)
    }

    #[cfg(test)]
    pub(crate) fn end_for_tests(&self) {
        self.end();
    }

    /// The time until the deadline; never zero.
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
    fn a_lead_is_valid_before_its_deadline() {
        let lead = Lead::until(boot_time() + HOUR);
        assert!(lead.remaining().unwrap() > HOUR / 2);
    }

    #[test]
    fn a_lead_is_invalid_from_its_deadline_on() {
        assert_eq!(Lead::until(boot_time()).remaining(), Err(NotLeading));
    }

    #[test]
    fn a_lead_reports_why_it_ended() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.clone().end_because(Lost::RecordNames("b".to_owned()));
        assert_eq!(lead.remaining(), Err(NotLeading));
        assert_eq!(lead.lost(), Lost::RecordNames("b".to_owned()));
        assert_eq!(Lead::until(boot_time()).lost(), Lost::Deadline);
    }

    #[test]
    fn a_lead_that_ended_is_not_extended() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.end();
        lead.extend(boot_time() + HOUR);
        assert_eq!(lead.remaining(), Err(NotLeading));
    }

    #[test]
    fn late_writes_end_with_their_time() {
        let lead = Lead::until(boot_time() + HOUR);
        assert_eq!(lead.late_writes(), None);
        let lead = lead.with_late_writes_until(boot_time() + HOUR);
        assert!(lead.clone().late_writes().unwrap() > HOUR / 2);
        assert_eq!(lead.with_late_writes_until(boot_time()).late_writes(), None);
    }

    #[test]
    fn a_renewal_never_shortens_a_lead() {
        let lead = Lead::until(boot_time() + HOUR);
        lead.extend(boot_time());
        assert!(lead.remaining().is_ok());
    }
}
