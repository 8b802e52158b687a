//! Memory for what tenants can make large: it is reserved before it is used, and there is a fixed amount
//! of it. What is small needs no reservation, and is never held up by what is large.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long to wait for memory: longer than the writes that hold it take.
pub const PATIENCE: Duration = Duration::from_secs(20);
const KIB: usize = 1024;

/// A fixed amount of memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    kib: Arc<Semaphore>,
    total: u32,
}

/// Reserved memory, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    kib: OwnedSemaphorePermit,
    total: u32,
}

/// The memory was not available in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many large objects are in use at the same time; will retry")]
pub struct OutOfMemory;

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget of this many KiB.
    #[must_use]
    pub fn new(kib: u32) -> Self {
        let permits = Arc::new(Semaphore::new(usize::try_from(kib).unwrap_or(usize::MAX)));
        Self { kib: permits, total: kib }
    }

    /// Reserves memory for `bytes`; all of it, if `bytes` are more. Waits until others have given back
    /// enough, in the order of the calls.
    ///
    /// # Errors
    /// They have not within 20 seconds. This also ends the wait of callers that wait for each other.
    pub async fn reserve(&self, bytes: usize) -> Result<Reservation, OutOfMemory> {
        let acquired = Arc::clone(&self.kib).acquire_many_owned(self.needed(bytes));
        match timeout(PATIENCE, acquired).await {
            Ok(Ok(kib)) => Ok(Reservation { kib, total: self.total }),
            Ok(Err(_)) | Err(_) => Err(OutOfMemory),
        }
    }

    fn needed(&self, bytes: usize) -> u32 {
        needed(bytes, self.total)
    }
}

// === impl Reservation ===

impl Reservation {
    /// Whether it suffices for `bytes`, or is all that there is.
    #[must_use]
    pub fn covers(&self, bytes: usize) -> bool {
        self.kib.num_permits() >= usize::try_from(needed(bytes, self.total)).unwrap_or(usize::MAX)
    }

    /// Gives back what is not needed for `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let needed = usize::try_from(needed(bytes, self.total)).unwrap_or(usize::MAX);
        let surplus = self.kib.num_permits().saturating_sub(needed);
        drop(self.kib.split(surplus));
    }
}

fn needed(bytes: usize, total: u32) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX).min(total)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn memory_is_reserved_until_it_is_given_back() {
        let budget = MemoryBudget::new(4);
        let mut first = budget.reserve(3 * KIB).await.unwrap();
        assert!(first.covers(3 * KIB) && !first.covers(3 * KIB + 1));
        let mut second = Box::pin(budget.reserve(2 * KIB));
        assert!(second.as_mut().now_or_never().is_none());
        first.shrink_to(KIB + 1);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn what_exceeds_the_budget_gets_all_of_it() {
        let budget = MemoryBudget::new(4);
        let all = budget.reserve(1_000 * KIB).await.unwrap();
        assert!(all.covers(usize::MAX));
        assert!(budget.reserve(1).now_or_never().is_none());
    }
}
