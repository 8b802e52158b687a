//! Permits for writes in flight: at most so many per process.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::controller::stopping::Stopping;
use crate::kubernetes::error::NotLeading;

/// The permits of this process.
#[derive(Clone, Debug)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    count: usize,
    stopping: Stopping,
}

// === impl Permits ===

impl Permits {
    /// `count` permits, which are given out until the process is `stopping`.
    #[must_use]
    pub fn new(count: usize, stopping: Stopping) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(count)), count, stopping }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Waits for a permit to send one write, in the order of the requests.
    ///
    /// # Errors
    /// The process is stopping.
    pub async fn acquire(&self) -> Result<OwnedSemaphorePermit, NotLeading> {
        let semaphore = Arc::clone(&self.semaphore);
        let permit = semaphore.acquire_owned().await.map_err(|_| NotLeading)?;
        if self.stopping.has_begun() { Err(NotLeading) } else { Ok(permit) }
    }

    /// Waits until no write is in flight.
    pub async fn wait_until_idle(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        drop(self.semaphore.acquire_many(all).await);
    }
}
