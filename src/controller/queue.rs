//! The queue between events and rounds.
//!
//! kube's scheduler takes what comes out of it: it merges repeated requests and runs one round
//! per sync at a time.

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

    /// Asks for a round of `sync`. One that waits already is not asked for twice.
    pub fn push(&self, sync: NamespacedName) {
        let mut waiting = self.waiting();
        if waiting.contains_key(&sync) {
            return;
        }
        let request = Request {
            obj_ref: ObjectRef::new(&sync.name).within(&sync.namespace),
            reason: ReconcileReason::Unknown,
        };
        if self.sender.unbounded_send(request).is_ok() {
            waiting.insert(sync, Instant::now());
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
    fn a_sync_that_waits_is_not_queued_twice() {
        let (queue, mut requests) = Queue::new(Arc::new(Metrics::new(&[])));
        let sync = NamespacedName::new("team", "sync");
        queue.push(sync.clone());
        queue.push(sync.clone());
        assert!(requests.try_recv().is_ok());
        assert!(requests.try_recv().is_err(), "one request, not two");
        queue.pop(&sync);
        queue.push(sync);
        assert!(requests.try_recv().is_ok(), "and again once its round has begun");
    }

    #[test]
    fn a_closed_queue_ends() {
        let (queue, mut requests) = Queue::new(Arc::new(Metrics::new(&[])));
        queue.close();
        queue.push(NamespacedName::new("team", "sync"));
        assert_eq!(requests.try_recv().map(|_| ()), Err(mpsc::TryRecvError::Closed));
    }
}
