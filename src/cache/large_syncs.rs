//! Memory for the reconciles of syncs that are too large for the cache, shared fairly between namespaces.
//!
//! Such a reconcile can take long, for example if many permissions are to be asked for. The others of its
//! namespace wait for it, so that at most one sync of each namespace waits for memory, or holds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::kubernetes::memory::MemoryBudget;
use crate::kubernetes::memory::OutOfMemory;
use crate::kubernetes::memory::PATIENCE;
use crate::kubernetes::memory::Reservation;

/// What a reconcile of a large sync takes besides contents, and all of them together.
const LARGE_SYNC: usize = 4 * 1024 * 1024;
const SYNCS_KIB: u32 = 8 * 1024;

type Turn = tokio::sync::Mutex<()>;

/// The memory, and the turn of each namespace with a large sync.
pub(super) struct LargeSyncs {
    memory: MemoryBudget,
    turns: Mutex<HashMap<String, Weak<Turn>>>,
}

/// The turn of a namespace and reserved memory, until this is dropped.
#[derive(Debug)]
pub struct LargeSyncReservation {
    _memory: Reservation,
    _turn: OwnedMutexGuard<()>,
}

// === impl LargeSyncs ===

impl Default for LargeSyncs {
    fn default() -> Self {
        Self { memory: MemoryBudget::new(SYNCS_KIB), turns: Mutex::default() }
    }
}

impl LargeSyncs {
    /// Reserves memory for a large sync, after the earlier callers for this `namespace`.
    ///
    /// # Errors
    /// It is not this caller's turn within 20 seconds, or there is no memory 20 seconds later.
    pub(super) async fn reserve(
        &self,
        namespace: &str,
    ) -> Result<LargeSyncReservation, OutOfMemory> {
        let turn = timeout(PATIENCE, self.turn(namespace).lock_owned()).await;
        let turn = turn.map_err(|_| OutOfMemory)?;
        let memory = self.memory.reserve(LARGE_SYNC).await?;
        Ok(LargeSyncReservation { _memory: memory, _turn: turn })
    }

    fn turn(&self, namespace: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(namespace).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(namespace.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn reserved(syncs: &LargeSyncs, namespace: &str) -> Option<LargeSyncReservation> {
        syncs.reserve(namespace).now_or_never()?.ok()
    }

    #[tokio::test]
    async fn a_namespace_waits_for_its_own_syncs_only() {
        let syncs = LargeSyncs::default();
        let first = reserved(&syncs, "a");
        assert!(first.is_some() && reserved(&syncs, "a").is_none());
        assert!(reserved(&syncs, "b").is_some());
        drop(first);
        assert!(reserved(&syncs, "a").is_some());
    }

    #[tokio::test]
    async fn a_tenant_with_many_syncs_waits_behind_others() {
        let syncs = LargeSyncs::default();
        let (a, b) = (reserved(&syncs, "a"), reserved(&syncs, "b"));
        let mut many: Vec<_> = (0..10).map(|_| Box::pin(syncs.reserve("a"))).collect();
        for waiting in &mut many {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut other = Box::pin(syncs.reserve("c"));
        assert!(other.as_mut().now_or_never().is_none(), "there is no memory");
        drop(b);
        assert!(other.await.is_ok(), "the many wait for their turn, not for memory");
        drop(a);
    }
}
