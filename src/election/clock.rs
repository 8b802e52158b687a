//! The clock by which leadership is measured.
//!
//! `std::time::Instant` stands still while a machine is suspended, and a wall clock may be set:
//! the boot-time clock (`CLOCK_BOOTTIME`, `clock_gettime(2)`) does neither.

use std::time::Duration;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Time since the machine booted, suspension included.
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
    fn it_never_goes_back() {
        let earlier = boot_time();
        assert!(boot_time() >= earlier);
    }
}
