//! The safety net: wakes each sync that is due for a look at live data.

use std::time::Duration;
use std::time::Instant;

use crate::controller::Context;

/// How late a look may be, as a part of the period.
const PRECISION: u32 = 100;
const NO_LATER_THAN: Duration = Duration::from_secs(10);
const NO_SOONER_THAN: Duration = Duration::from_millis(100);

/// Wakes who is due, for as long as it is polled. One timer for all: of ten thousand, each would
/// take as much room as what is known of its sync.
pub async fn run(context: &Context) {
    let period = context.settings.resync_period / PRECISION;
    let mut ticks = tokio::time::interval(period.clamp(NO_SOONER_THAN, NO_LATER_THAN));
    loop {
        ticks.tick().await;
        let due = context.memory.due_for_verification(Instant::now());
        context.wake(due.iter().filter_map(|uid| context.cache.sync_with_uid(uid)));
    }
}
