//! Reads of sources that several callers share.
//!
//! # Guarantees
//! * Callers that read the same source take turns: each finds what the one before has read.
//! * A caller waits at most [`PATIENCE`] for a read without a response. Then it has a turn of its own, and
//!   the callers after it wait for that one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::observed::Version;
use crate::telemetry::spans::SpanReference;

/// How long to wait for the read of another caller.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last read of one `ConfigMap`, for callers that need the same version.
#[derive(Debug)]
pub struct SharedRead {
    pub version: Version,
    pub digest: Digest,
    /// Dropped when no caller keeps it.
    pub content: Weak<Content>,
    /// The span that read it.
    pub reader: SpanReference,
}

/// The turn to read one `ConfigMap`, with what the previous turn has read.
pub type Turn = OwnedMutexGuard<Option<SharedRead>>;

/// The slot of one `ConfigMap`; locked during a turn.
type Slot = Arc<tokio::sync::Mutex<Option<SharedRead>>>;

/// The reads of sources that callers share.
#[derive(Debug, Default)]
pub struct SharedReads {
    slots: Mutex<HashMap<NamespacedName, Slot>>,
}

// === impl SharedReads ===

impl SharedReads {
    /// Waits for the turn to read `at`. If `is_waiting_for_memory`, another read would have to wait, too, so
    /// that the caller waits for the present one without limit.
    pub async fn turn(
        &self,
        at: &NamespacedName,
        is_waiting_for_memory: impl Fn() -> bool,
    ) -> Turn {
        loop {
            let slot = self.slot(at);
            if let Ok(turn) = timeout(PATIENCE, Arc::clone(&slot).lock_owned()).await {
                return turn;
            }
            if !is_waiting_for_memory()
                && let Some(turn) = self.replace(at, &slot)
            {
                return turn;
            }
        }
    }

    /// The first turn of a new slot, unless another caller has replaced `slot` already.
    fn replace(&self, at: &NamespacedName, slot: &Slot) -> Option<Turn> {
        let mut slots = self.slots.lock();
        slots.get(at).filter(|present| Arc::ptr_eq(present, slot))?;
        let next = Slot::default();
        slots.insert(at.clone(), Arc::clone(&next));
        next.try_lock_owned().ok()
    }

    /// The slot of `at`. Slots without a waiting caller and without content in use are dropped.
    fn slot(&self, at: &NamespacedName) -> Slot {
        let mut slots = self.slots.lock();
        let is_held = |read: &SharedRead| read.content.strong_count() > 0;
        let is_in_use = |slot: &Slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|shared| shared.as_ref().is_some_and(is_held))
        };
        slots.retain(|_, slot| is_in_use(slot));
        Arc::clone(slots.entry(at.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    fn shared() -> (SharedReads, NamespacedName) {
        (SharedReads::default(), NamespacedName::new("central", "shared"))
    }

    fn read(content: &Arc<Content>) -> SharedRead {
        let version = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
        let (digest, reader) = (content.digest(), SpanReference::current());
        SharedRead { version, digest, content: Arc::downgrade(content), reader }
    }

    #[tokio::test]
    async fn the_next_turn_finds_what_was_read() {
        let ((reads, at), content) = (shared(), Arc::new(Content::default()));
        let mut first = reads.turn(&at, || false).await;
        let mut second = pin!(reads.turn(&at, || false));
        assert!(second.as_mut().now_or_never().is_none());
        *first = Some(read(&content));
        drop(first);
        assert!(second.await.is_some());
        drop(content);
        assert!(reads.turn(&at, || false).await.is_none(), "no caller keeps the content");
    }

    #[tokio::test]
    async fn a_read_without_response_is_waited_for_a_second() {
        let ((reads, at), began) = (shared(), Instant::now());
        let first = reads.turn(&at, || false).await;
        let second = reads.turn(&at, || false).await;
        assert!(began.elapsed() >= PATIENCE);
        let mut third = pin!(reads.turn(&at, || false));
        assert!(timeout(PATIENCE / 2, third.as_mut()).await.is_err(), "it waits for the second");
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "it waits for the second");
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_read_that_waits_for_memory_is_waited_for() {
        let (reads, at) = shared();
        let first = reads.turn(&at, || true).await;
        let mut second = pin!(reads.turn(&at, || true));
        assert!(timeout(2 * PATIENCE, second.as_mut()).await.is_err());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_after_the_last_turn() {
        let (reads, at) = shared();
        drop(reads.turn(&at, || false).await);
        drop(reads.turn(&NamespacedName::new("central", "other"), || false).await);
        assert_eq!(reads.slots.lock().len(), 1);
    }
}
