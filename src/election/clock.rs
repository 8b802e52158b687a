//! The clock that leadership is measured by.
//!
//! `CLOCK_BOOTTIME` (`clock_gettime(2)`) also counts the time while the machine is suspended, which
//! `std::time::Instant` does not, and cannot be set, unlike the wall clock.

use std::time::Duration;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Time since the machine booted, including the time it was suspended.
#[must_use]
pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_never_decreases() {
        let earlier = boot_time();
        assert!(boot_time() >= earlier);
    }
}
