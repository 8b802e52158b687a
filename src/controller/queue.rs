//! The queue between events and rounds.
//!
//! kube's scheduler takes what comes out of it, and merges requests for the same sync.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use futures::channel::mpsc;
use kube::runtime::scheduler::ScheduleRequest;

use crate::api::namespaced_name::NamespacedName;
use crate::metrics::Metrics;

/// What a burst of thousands took is given back when the last of them is done, down to this.
const FEW: usize = 64;

/// A request to look at a sync.
pub type Request = ScheduleRequest<NamespacedName>;

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
        let request = Request { message: sync.clone(), run_at: Instant::now().into() };
        let mut waiting = self.waiting();
        if self.sender.unbounded_send(request).is_ok() {
            waiting.entry(sync).or_insert_with(Instant::now);
            self.metrics.reconciles.enqueued(waiting.len());
        }
    }

    /// Asks for a round of `sync` after `delay`, if none is asked for sooner.
    pub fn push_later(&self, sync: NamespacedName, delay: Duration) {
        let request = Request { message: sync, run_at: (Instant::now() + delay).into() };
        // Whoever has closed the queue wants no more rounds.
        let _ = self.sender.unbounded_send(request);
    }

    /// A round of `sync` begins; how long it has waited.
    pub fn pop(&self, sync: &NamespacedName) -> Duration {
        let mut waiting = self.waiting();
        let since = waiting.remove(sync);
        if waiting.is_empty() {
            waiting.shrink_to(FEW);
        }
        self.metrics.reconciles.set_queue_depth(waiting.len());
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
    fn what_is_asked_for_later_does_not_wait_yet() {
        let (queue, mut requests) = Queue::new(Arc::new(Metrics::new(&[])));
        let sync = NamespacedName::new("team", "sync");
        queue.push_later(sync.clone(), Duration::from_hours(1));
        assert!(queue.waiting().is_empty());
        let request = requests.try_recv().unwrap();
        assert_eq!(request.message, sync);
        assert!(request.run_at > (Instant::now() + Duration::from_mins(59)).into());
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
