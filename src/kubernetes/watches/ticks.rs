//! Waiting without standing still.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

/// The longest time between two events. A watch that is open for so long without an error is
/// established.
pub const TICK: Duration = Duration::from_secs(5);

/// Waits for `future`, and calls `tick` at least every [`TICK`] meanwhile.
pub async fn ticking<T>(future: impl Future<Output = T>, mut tick: impl FnMut()) -> T {
    let mut future = pin!(future);
    loop {
        match timeout(TICK, &mut future).await {
            Ok(output) => return output,
            Err(_) => tick(),
        }
    }
}
