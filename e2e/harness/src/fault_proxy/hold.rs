//! A point where a request waits until the test has decided.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::fault_proxy::observed_request::Request;

/// What the test has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Undecided,
    Release,
    Cut,
}

/// A crash point: shared by the test and the request that waits at it.
///
/// A request waits for as long as nothing is decided, also if its replica has ended.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reached: watch::Sender<Option<Request>>,
    verdict: watch::Sender<Verdict>,
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Hold {
    /// One that nobody has reached, and nothing is decided about.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            reached: watch::Sender::new(None),
            verdict: watch::Sender::new(Verdict::Undecided),
        };
        Self(Arc::new(inner))
    }

    /// Waits until a request has reached it, and tells which.
    pub async fn reached(&self, deadline: Duration) -> Result<Request> {
        let mut reached = self.0.reached.subscribe();
        let request = timeout(deadline, reached.wait_for(Option::is_some)).await;
        let request = request.with_context(|| format!("no request was held in {deadline:?}"))??;
        request.clone().context("a request was held, and is not there")
    }

    /// The request that has reached it, if one has.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        self.0.reached.borrow().clone()
    }

    /// Lets the request go on.
    pub fn release(&self) {
        self.0.verdict.send_replace(Verdict::Release);
    }

    /// Closes the connection of the request.
    pub fn cut(&self) {
        self.0.verdict.send_replace(Verdict::Cut);
    }

    /// Whether the request may go on.
    pub(super) async fn passes(&self, request: &Request) -> bool {
        let mut verdict = self.0.verdict.subscribe();
        self.0.reached.send_replace(Some(request.clone()));
        let decided = verdict.wait_for(|verdict| *verdict != Verdict::Undecided).await;
        decided.is_ok_and(|verdict| *verdict == Verdict::Release)
    }
}
