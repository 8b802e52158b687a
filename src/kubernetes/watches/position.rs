//! Where a watch is, and when its next attempt begins. Pure except for the jitter.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;

use crate::backoff::Backoff;
use crate::backoff::CAP_UNAVAILABLE;
use crate::kubernetes::watches::error::Error;
use crate::kubernetes::watches::ticks::TICK;

/// What to request next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The page of the list with this continue token; `None` for the first one.
    Page(Option<String>),
    /// The changes after this resourceVersion.
    Changes(String),
}

/// The next request, and the failures since the last success.
#[derive(Debug)]
pub struct Position {
    next: Next,
    lists: Backoff,
    changes: Backoff,
    /// Whether the version has expired since the watch was last established.
    has_expired: bool,
    /// Whether the watch of changes has failed since it was last established.
    has_failed: bool,
    is_established: bool,
}

// === impl Position ===

impl Default for Position {
    fn default() -> Self {
        Self {
            next: Next::Page(None),
            lists: Backoff::default(),
            changes: Backoff::default(),
            has_expired: false,
            has_failed: false,
            is_established: false,
        }
    }
}

impl Position {
    pub const fn next(&self) -> &Next {
        &self.next
    }

    /// A page of the list was received: the next one is requested, or the changes.
    pub fn listed(&mut self, page: ListMeta) -> Result<(), Error> {
        let is_known = |text: &String| !text.is_empty();
        let (token, version) = (page.continue_, page.resource_version);
        self.next = if let Some(token) = token.filter(is_known) {
            Next::Page(Some(token))
        } else {
            Next::Changes(version.filter(is_known).ok_or(Error::NoVersion)?)
        };
        self.lists = Backoff::default();
        Ok(())
    }

    /// The list is complete. Returns whether that establishes the watch: not after a failure of
    /// the watch of changes, which may fail again.
    pub fn list_complete(&mut self) -> bool {
        !self.has_failed && self.established()
    }

    /// The watch of changes works. Returns whether it was not established before.
    pub fn established(&mut self) -> bool {
        self.changes = Backoff::default();
        (self.has_expired, self.has_failed) = (false, false);
        !std::mem::replace(&mut self.is_established, true)
    }

    /// An event with this resourceVersion was received.
    pub fn follow(&mut self, version: Option<String>) -> Result<(), Error> {
        let version = version.filter(|version| !version.is_empty()).ok_or(Error::NoVersion)?;
        self.next = Next::Changes(version);
        Ok(())
    }

    /// The watch of changes ended `after` it had begun. Returns the delay until the next attempt.
    /// An error if it ended soon, and without an event.
    pub fn ended(&mut self, after: Duration, has_events: bool) -> Result<Duration, Error> {
        match (after >= TICK, has_events) {
            (true, _) => Ok(Duration::ZERO),
            (false, true) => Ok(self.changes.next_delay(CAP_UNAVAILABLE, None)),
            (false, false) => Err(Error::Ended),
        }
    }

    /// An attempt failed. Returns the delay until the next one.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.is_established = false;
        let mut backoff = &mut self.changes;
        if error.is_expired() {
            self.next = Next::Page(None);
            self.has_failed = true;
            if !std::mem::replace(&mut self.has_expired, true) {
                return Duration::ZERO;
            }
        } else if matches!(self.next, Next::Page(_)) {
            backoff = &mut self.lists;
        } else {
            self.has_failed = true;
        }
        backoff.next_delay(CAP_UNAVAILABLE, error.retry_after())
    }
}
