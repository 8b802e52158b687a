//! A crash point: a request waits until the test decides about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::fault_proxy::observed_request::Request;

/// The decision of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Undecided,
    Release,
    Cut,
}

/// A crash point, shared by the test and the request that waits at it.
///
/// The request waits until [`Hold::release`] or [`Hold::cut`], even if its replica has ended.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reached: watch::Sender<Option<Request>>,
    decision: watch::Sender<Decision>,
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Hold {
    /// A hold that no request has reached, and without a decision.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            reached: watch::Sender::new(None),
            decision: watch::Sender::new(Decision::Undecided),
        };
        Self(Arc::new(inner))
    }

    /// Waits until a request has reached it, and returns the request.
    pub async fn reached(&self, deadline: Duration) -> Result<Request> {
        let mut reached = self.0.reached.subscribe();
        let request = timeout(deadline, reached.wait_for(Option::is_some)).await;
        let request = request.with_context(|| {
            format!("timed out after {deadline:?} waiting until a request is held")
        })??;
        request.clone().context("the held request is missing")
    }

    /// The request that has reached it, if any.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        self.0.reached.borrow().clone()
    }

    /// Forwards the held request or response.
    pub fn release(&self) {
        self.0.decision.send_replace(Decision::Release);
    }

    /// Closes the connection of the request.
    pub fn cut(&self) {
        self.0.decision.send_replace(Decision::Cut);
    }

    /// Waits for the decision. Returns whether the request is released.
    pub(super) async fn passes(&self, request: &Request) -> bool {
        let mut decision = self.0.decision.subscribe();
        self.0.reached.send_replace(Some(request.clone()));
        let result = decision.wait_for(|decision| *decision != Decision::Undecided).await;
        result.is_ok_and(|decision| *decision == Decision::Release)
    }
}
