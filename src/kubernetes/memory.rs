//! Memory for what tenants can make large: it is reserved before it is used, and there is a fixed amount
//! of it, shared among namespaces: [`shares`](crate::decide::shares) has the rule. What is small needs no
//! reservation, and is never held up by what is large.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::decide::shares::Grant;
use crate::decide::shares::Shares;
use crate::decide::shares::Ticket;

/// How long to wait for memory: longer than the writes that hold it take.
const PATIENCE: Duration = Duration::from_secs(20);
const KIB: usize = 1024;

/// A fixed amount of memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    state: Arc<Mutex<State>>,
}

/// Reserved memory, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    state: Arc<Mutex<State>>,
    namespace: String,
    kib: u32,
    largest: u32,
}

/// The memory was not available in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many large objects are in use at the same time; will retry")]
pub struct OutOfMemory;

#[derive(Debug)]
struct State {
    shares: Shares,
    waiting: HashMap<Ticket, oneshot::Sender<Reservation>>,
}

/// A request that waits. Dropping it withdraws it.
struct Request<'a> {
    state: &'a Arc<Mutex<State>>,
    namespace: &'a str,
    ticket: Ticket,
    granted: oneshot::Receiver<Reservation>,
}

// === impl MemoryBudget ===

impl MemoryBudget {
    /// A budget of this many KiB.
    #[must_use]
    pub fn new(kib: u32) -> Self {
        let state = State { shares: Shares::new(kib), waiting: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Reserves memory for `bytes` that are used on behalf of `namespace`; a third of all, if `bytes`
    /// are more. Waits for its turn.
    ///
    /// # Errors
    /// Others have not given back enough within 20 seconds. This also ends the wait of callers that
    /// wait for each other.
    pub async fn reserve(&self, namespace: &str, bytes: usize) -> Result<Reservation, OutOfMemory> {
        let mut request = self.request(namespace, bytes);
        match timeout(PATIENCE, &mut request.granted).await {
            Ok(Ok(reservation)) => Ok(reservation),
            Ok(Err(_)) | Err(_) => Err(OutOfMemory),
        }
    }

    fn request<'a>(&'a self, namespace: &'a str, bytes: usize) -> Request<'a> {
        let (sender, granted) = oneshot::channel();
        let ticket = {
            let mut state = self.state.lock();
            let ticket = state.shares.request(namespace, kib(bytes));
            state.waiting.insert(ticket, sender);
            ticket
        };
        grant(&self.state);
        Request { state: &self.state, namespace, ticket, granted }
    }
}

/// Grants what can be granted.
fn grant(state: &Arc<Mutex<State>>) {
    loop {
        let mut locked = state.lock();
        let Some(Grant { ticket, namespace, amount }) = locked.shares.grant() else { return };
        let (waiting, largest) = (locked.waiting.remove(&ticket), locked.shares.largest());
        drop(locked);
        let state = Arc::clone(state);
        let reservation = Reservation { state, namespace, kib: amount, largest };
        // A reservation without a receiver is dropped, which gives it back.
        drop(waiting.map(|waiting| waiting.send(reservation)));
    }
}

// === impl Request ===

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let withdrawn = {
            let mut state = self.state.lock();
            state.shares.cancel(self.namespace, self.ticket);
            state.waiting.remove(&self.ticket)
        };
        if withdrawn.is_some() {
            grant(self.state);
        }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Whether it suffices for `bytes`, or is as much as anyone gets.
    #[must_use]
    pub fn covers(&self, bytes: usize) -> bool {
        self.kib >= kib(bytes).min(self.largest)
    }

    /// Gives back what is not needed for `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.kib.saturating_sub(kib(bytes));
        self.kib -= surplus;
        self.give_back(surplus);
    }

    fn give_back(&self, kib: u32) {
        self.state.lock().shares.release(&self.namespace, kib);
        grant(&self.state);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back(self.kib);
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn reserved(budget: &MemoryBudget, namespace: &str, kib: usize) -> Option<Reservation> {
        budget.reserve(namespace, kib * KIB).now_or_never()?.ok()
    }

    #[tokio::test]
    async fn memory_is_reserved_until_it_is_given_back() {
        let budget = MemoryBudget::new(12);
        let mut first = reserved(&budget, "a", 3).unwrap();
        assert!(first.covers(3 * KIB) && !first.covers(3 * KIB + 1));
        let second = reserved(&budget, "a", 2).unwrap();
        let mut third = Box::pin(budget.reserve("a", 3 * KIB));
        assert!(third.as_mut().now_or_never().is_none());
        first.shrink_to(KIB);
        assert!(third.await.is_ok());
        drop((first, second));
        assert!(reserved(&budget, "a", 4).is_some());
    }

    #[tokio::test]
    async fn nobody_gets_more_than_a_third() {
        let budget = MemoryBudget::new(12);
        let most = reserved(&budget, "a", 1_000).unwrap();
        assert!(most.covers(usize::MAX));
        let other = reserved(&budget, "b", 4).unwrap();
        assert!(other.covers(usize::MAX));
        assert!(reserved(&budget, "c", 4).is_none() && reserved(&budget, "c", 2).is_some());
    }

    #[tokio::test]
    async fn a_withdrawn_request_takes_no_memory() {
        let budget = MemoryBudget::new(12);
        let all = [reserved(&budget, "a", 4), reserved(&budget, "a", 2)];
        let mut second = Box::pin(budget.reserve("a", 4 * KIB));
        let mut third = Box::pin(budget.reserve("a", KIB));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none(), "in the order of the requests");
        drop(second);
        drop(all);
        assert!(third.await.is_ok());
        assert!(reserved(&budget, "a", 4).is_some());
    }

    #[tokio::test]
    async fn many_requests_of_one_namespace_delay_no_other() {
        let budget = MemoryBudget::new(12);
        let _held = [reserved(&budget, "loud", 3), reserved(&budget, "loud", 3)];
        let mut many: Vec<_> = (0..10).map(|_| Box::pin(budget.reserve("loud", KIB))).collect();
        for waiting in &mut many {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert!(reserved(&budget, "quiet", 3).is_some());
    }
}
