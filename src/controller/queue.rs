//! The queue between events and rounds.
//!
//! kube's scheduler takes what comes out of it: it merges repeated requests and runs one round
//! per sync at a time. Nothing is merged here: a round that is about to begin has looked its sync
//! up already, so a request that comes then must lead to another round.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use futures::channel::mpsc;
use kube::runtime::controller::ReconcileReason;
use kube::runtime::controller::ReconcileRequest;
use kube::runtime::reflector::ObjectRef;

use crate::api::StoredConfigMapSync;
use crate::metrics::Metrics;
use crate::names::NamespacedName;

/// A request to look at a sync.
pub type Request = ReconcileRequest<StoredConfigMapSync>;

/// Syncs that wait for a round, and since when.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Request>,
    waiting: Mutex<HashMap<NamespacedName, Instant>>,
    metrics: Arc<Metrics>,
}

// === impl Queue ===

impl Queue {
    /// A queue, and the end at which requests come out.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (sender, receiver) = mpsc::unbounded();
        (Self { sender, waiting: Mutex::default(), metrics }, receiver)
    }

    /// Asks for a round of `sync`.
    pub fn push(&self, sync: NamespacedName) {
        let request = Request {
            obj_ref: ObjectRef::new(&sync.name).within(&sync.namespace),
            reason: ReconcileReason::Unknown,
        };
        let mut waiting = self.waiting();
        if self.sender.unbounded_send(request).is_ok() {
            waiting.entry(sync).or_insert_with(Instant::now);
            self.metrics.queued(waiting.len());
        }
    }

    /// A round of `sync` begins; how long it has waited.
    pub fn pop(&self, sync: &NamespacedName) -> Duration {
        let mut waiting = self.waiting();
        let since = waiting.remove(sync);
        self.metrics.queue_depth_is(waiting.len());
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// `sync` is gone: no round will begin.
    pub fn forget(&self, sync: &NamespacedName) {
        self.pop(sync);
    }

    /// Takes no more requests.
    pub fn close(&self) {
        self.sender.close_channel();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<NamespacedName, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_is_lost_while_another_waits() {
        let (queue, mut requests) = Queue::new(Arc::new(Metrics::new(&[])));
        let sync = NamespacedName::new("team", "sync");
        queue.push(sync.clone());
        queue.push(sync.clone());
        assert!(requests.try_recv().is_ok());
        assert!(requests.try_recv().is_ok(), "the first may be about to begin");
    }

    #[test]
    fn the_wait_is_counted_from_the_first_request() {
        let (queue, _requests) = Queue::new(Arc::new(Metrics::new(&[])));
        let sync = NamespacedName::new("team", "sync");
        queue.push(sync.clone());
        let first = queue.waiting()[&sync];
        queue.push(sync.clone());
        assert_eq!(queue.waiting()[&sync], first);
        queue.pop(&sync);
        assert!(queue.waiting().is_empty());
    }

    #[test]
    fn a_closed_queue_ends() {
        let (queue, mut requests) = Queue::new(Arc::new(Metrics::new(&[])));
        queue.close();
        queue.push(NamespacedName::new("team", "sync"));
        assert_eq!(requests.try_recv().map(|_| ()), Err(mpsc::TryRecvError::Closed));
    }
}
