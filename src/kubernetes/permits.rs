//! Permits for writes in flight: a limited number, shared among namespaces, and none once the process
//! is stopping. [`slots`](crate::decide::slots) has the rules.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::decide::slots::SLOW;
use crate::decide::slots::Slots;
use crate::decide::slots::Ticket;
use crate::kubernetes::error::NotLeading;

/// How long a reserved permit is kept for its sync.
const RESERVED: Duration = Duration::from_secs(10);

/// Permits for writes of one kind. Clones share them.
#[derive(Clone, Debug)]
pub struct Permits {
    shared: Arc<Shared>,
}

/// A permit for one write in its namespace. Dropping it returns it.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    namespace: String,
    since: Duration,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    began: Instant,
    idle: Notify,
}

#[derive(Debug)]
struct State {
    slots: Slots,
    waiting: HashMap<Ticket, oneshot::Sender<Permit>>,
    /// The permits that are kept for a sync, by its uid and their namespace.
    reserved: HashMap<(String, String), Permit>,
    is_closed: bool,
}

enum Requested {
    Granted(Permit),
    Waiting(Request),
}

/// A request that waits. Dropping it withdraws it.
struct Request {
    shared: Arc<Shared>,
    ticket: Ticket,
    granted: oneshot::Receiver<Permit>,
}

// === impl Permits ===

impl Permits {
    /// `count` permits.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let state = State {
            slots: Slots::new(count),
            waiting: HashMap::new(),
            reserved: HashMap::new(),
            is_closed: false,
        };
        let shared =
            Shared { state: Mutex::new(state), began: Instant::now(), idle: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// The number of permits.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.state.lock().slots.count()
    }

    /// A permit for one write of the sync, in one of `namespaces`: a reserved one, or else one in the
    /// first of them that may have one. Waits for it, but not while each of the namespaces is slow
    /// and holds its share of the permits: `None`.
    ///
    /// # Errors
    /// No write may be sent any more: see [`Permits::close`].
    pub async fn acquire<'a>(
        &self,
        sync_uid: &str,
        namespaces: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Option<Permit>, NotLeading> {
        if let Some(reserved) = self.take_reserved(sync_uid, namespaces.clone()) {
            return Ok(Some(reserved));
        }
        let mut request = match self.request(namespaces.clone())? {
            Requested::Granted(permit) => return Ok(Some(permit)),
            Requested::Waiting(request) => request,
        };
        loop {
            if self.shared.are_congested(namespaces.clone()) {
                return Ok(request.withdraw());
            }
            if let Ok(permit) = timeout(SLOW, &mut request.granted).await {
                return permit.map(Some).map_err(|_| NotLeading);
            }
        }
    }

    /// A permit for one write in `namespace`, without waiting. `None`: there is none at present, or no
    /// write may be sent any more.
    #[must_use]
    pub fn try_acquire_in(&self, namespace: &str) -> Option<Permit> {
        self.acquire_in(namespace).now_or_never()?.ok()
    }

    /// Requests a permit for one write in `namespace` at once, and returns a future that waits for it.
    ///
    /// # Errors
    /// No write may be sent any more: see [`Permits::close`].
    pub fn acquire_in(
        &self,
        namespace: &str,
    ) -> impl Future<Output = Result<Permit, NotLeading>> + Send + use<> {
        let requested = self.request([namespace].into_iter());
        async move {
            match requested? {
                Requested::Granted(permit) => Ok(permit),
                Requested::Waiting(mut request) => {
                    (&mut request.granted).await.map_err(|_| NotLeading)
                }
            }
        }
    }

    /// Waits for a permit in `namespace`, and reserves it for the sync, for 10 seconds. Returns
    /// at once if no write may be sent any more.
    pub async fn reserve(&self, sync_uid: &str, namespace: &str) {
        let Ok(permit) = self.acquire_in(namespace).await else { return };
        let key = (sync_uid.to_owned(), namespace.to_owned());
        let since = permit.since;
        let mut state = self.shared.state.lock();
        if state.is_closed {
            drop(state);
            return;
        }
        let previous = state.reserved.insert(key.clone(), permit);
        drop(state);
        drop(previous);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            sleep(RESERVED).await;
            let mut state = shared.state.lock();
            let is_same = state.reserved.get(&key).is_some_and(|permit| permit.since == since);
            let expired = is_same.then(|| state.reserved.remove(&key));
            drop(state);
            drop(expired);
        });
    }

    fn take_reserved<'a>(
        &self,
        sync_uid: &str,
        mut namespaces: impl Iterator<Item = &'a str>,
    ) -> Option<Permit> {
        let reserved = &mut self.shared.state.lock().reserved;
        if reserved.is_empty() {
            return None;
        }
        namespaces.find_map(|it| reserved.remove(&(sync_uid.to_owned(), it.to_owned())))
    }

    fn request<'a>(
        &self,
        namespaces: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Requested, NotLeading> {
        let mut state = self.shared.state.lock();
        if state.is_closed {
            return Err(NotLeading);
        }
        let (now, shared) = (self.shared.began.elapsed(), Arc::clone(&self.shared));
        if let Some(namespace) = state.slots.take(namespaces.clone(), now) {
            return Ok(Requested::Granted(Permit { shared, namespace, since: now }));
        }
        // Among one namespace more than there are permits, one may always have a permit.
        let enough = namespaces.take(state.slots.count() + 1);
        let ticket = state.slots.request(enough.map(str::to_owned).collect());
        let (sender, granted) = oneshot::channel();
        state.waiting.insert(ticket, sender);
        Ok(Requested::Waiting(Request { shared, ticket, granted }))
    }

    /// From now on, no write is begun.
    pub fn close(&self) {
        let (waiting, reserved) = {
            let mut state = self.shared.state.lock();
            state.is_closed = true;
            state.slots.cancel_all();
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.reserved))
        };
        drop((waiting, reserved));
    }

    /// Whether [`Permits::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().is_closed
    }

    /// Waits until no write is in flight.
    pub async fn wait_until_idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.shared.idle.notified());
            idle.as_mut().enable();
            if self.shared.state.lock().slots.in_use() == 0 {
                return;
            }
            idle.await;
        }
    }
}

// === impl Permit ===

impl Permit {
    /// The namespace in which the write may be sent.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = self.shared.began.elapsed();
        let mut state = self.shared.state.lock();
        state.slots.release(&self.namespace, self.since, now);
        let mut granted = Vec::new();
        while let Some((ticket, namespace)) = state.slots.grant(now) {
            let permit = Self { shared: Arc::clone(&self.shared), namespace, since: now };
            granted.push((state.waiting.remove(&ticket), permit));
        }
        let is_idle = state.slots.in_use() == 0;
        drop(state);
        for (waiting, permit) in granted {
            // A permit without a receiver is dropped, which returns it.
            let _ = waiting.map(|waiting| waiting.send(permit));
        }
        if is_idle {
            self.shared.idle.notify_waiters();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn are_congested<'a>(&self, mut namespaces: impl Iterator<Item = &'a str>) -> bool {
        let (state, now) = (self.state.lock(), self.began.elapsed());
        namespaces.all(|namespace| state.slots.is_congested(namespace, now))
    }
}

// === impl Request ===

impl Request {
    /// Returns the permit, if it has been granted meanwhile.
    fn withdraw(mut self) -> Option<Permit> {
        self.cancel();
        self.granted.try_recv().ok()
    }

    fn cancel(&self) {
        let mut state = self.shared.state.lock();
        state.slots.cancel(self.ticket);
        state.waiting.remove(&self.ticket);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(permits: &Permits, namespace: &str) -> Permit {
        permits.acquire_in(namespace).await.unwrap()
    }

    #[tokio::test]
    async fn a_returned_permit_goes_to_the_oldest_request() {
        let permits = Permits::new(1);
        let first = take(&permits, "a").await;
        let second = take(&permits, "b");
        let third = take(&permits, "a");
        let (mut second, mut third) = (Box::pin(second), Box::pin(third));
        assert!(
            second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none()
        );
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(second.await.namespace(), "b");
        assert_eq!(third.await.namespace(), "a");
    }

    #[tokio::test]
    async fn a_withdrawn_request_takes_no_permit() {
        let permits = Permits::new(1);
        let first = take(&permits, "a").await;
        assert!(take(&permits, "a").now_or_never().is_none());
        drop(first);
        permits.wait_until_idle().await;
        assert!(take(&permits, "a").now_or_never().is_some());
        permits.wait_until_idle().await;
    }

    #[tokio::test]
    async fn a_reserved_permit_is_kept_for_its_sync() {
        let permits = Permits::new(1);
        permits.reserve("uid", "a").await;
        assert!(permits.take_reserved("other", ["a"].into_iter()).is_none());
        assert!(permits.take_reserved("uid", ["b"].into_iter()).is_none());
        assert!(take(&permits, "a").now_or_never().is_none());
        let permit = permits.take_reserved("uid", ["b", "a"].into_iter());
        assert_eq!(permit.unwrap().namespace(), "a");
        permits.wait_until_idle().await;
    }

    #[tokio::test]
    async fn closing_ends_all_waiting() {
        let permits = Permits::new(1);
        let first = take(&permits, "a").await;
        let mut waiting = Box::pin(permits.acquire_in("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        permits.close();
        assert!(waiting.await.is_err());
        assert!(permits.acquire_in("b").await.is_err());
        drop(first);
        permits.wait_until_idle().await;
    }

    #[tokio::test]
    async fn a_slow_namespace_is_not_waited_for() {
        let permits = Permits::new(4);
        let held = [take(&permits, "a").await, take(&permits, "a").await];
        let granted = permits.acquire("s", ["a"].into_iter()).await.unwrap();
        assert!(granted.is_none(), "{granted:?}");
        let elsewhere = permits.acquire("s", ["a", "b"].into_iter()).await.unwrap();
        assert_eq!(elsewhere.unwrap().namespace(), "b");
        drop(held);
        permits.wait_until_idle().await;
    }
}
