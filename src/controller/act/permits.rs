//! Permits for writes in flight: a limited number per process, and none once it is stopping.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::kubernetes::error::NotLeading;

/// The permits of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    count: usize,
    closed: Arc<AtomicBool>,
}

// === impl Permits ===

impl Permits {
    pub fn new(count: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(count)), count, closed: Arc::default() }
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    /// Waits for a permit to send one write, in the order of the requests. Fails after
    /// [`Permits::close`].
    pub async fn acquire(&self) -> Result<OwnedSemaphorePermit, NotLeading> {
        let semaphore = Arc::clone(&self.semaphore);
        let permit = semaphore.acquire_owned().await.map_err(|_| NotLeading)?;
        if self.is_closed() { Err(NotLeading) } else { Ok(permit) }
    }

    /// From now on, no write is begun.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until no write is in flight.
    pub async fn wait_until_idle(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        drop(self.semaphore.acquire_many(all).await);
    }
}
