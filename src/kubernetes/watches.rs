//! Watches: a list in pages, then its changes.
//!
//! # Guarantees
//! * A watch continues after any response. HTTP 410, as the status of a response or as an event,
//!   lists again: at once, unless it is repeated. Every other failure is retried where it occurred,
//!   at the same page or from the same version, with exponential backoff. `Retry-After` is obeyed.
//! * A response without a single event is a failure: the next attempt waits.
//! * An object that exists from the beginning of a list to its end is listed. A change after that
//!   is delivered; after a failure, either may be delivered twice.
//! * At most one object is in memory besides what the caller keeps: lists are decoded while they arrive.
//! * At most [`TICK`] passes between two events, so that the caller can show that the watch moves.
//!
//! # Why not kube's `watcher`?
//! It retries a watch that was refused with HTTP 410 without a new list, begins a failed list at
//! its first page, without increasing delays, and repeats a watch that ends at once without delay
//! (kube-runtime 4.2).

mod error;
mod lines;
mod position;
mod requests;
#[cfg(test)]
mod tests;
mod ticks;

use std::convert::Infallible;
use std::time::Duration;
use std::time::Instant;

use kube::core::WatchEvent;
use tokio::time::sleep;

pub use error::Error;
pub use requests::Source;
pub use ticks::TICK;
pub use ticks::ticking;

use crate::api::metadata::Versioned;
use crate::kubernetes::watches::lines::Lines;
use crate::kubernetes::watches::position::Next;
use crate::kubernetes::watches::position::Position;

/// What happened to the objects.
#[derive(Debug)]
pub enum Change<K> {
    /// A list begins. It replaces what is known, and may begin again before it is complete.
    ListBegun,
    /// An object of the list.
    Listed(K),
    /// What has not been listed does not exist.
    ListComplete,
    /// An object was created or changed.
    Applied(K),
    /// An object was deleted; this is its last state.
    Deleted(K),
}

/// What happened to the watch.
#[derive(Debug)]
pub enum Event<K> {
    /// The objects changed.
    Change(Change<K>),
    /// The API server reports that nothing else has changed.
    Bookmark,
    /// The watch works, for the first time or after a failure.
    Established,
    /// An attempt failed. Another one follows.
    Failed(Error),
    /// The watch waits for a response, for an event, or until the next attempt.
    Waiting,
}

/// Watches `source`, and passes each event to `handle`.
pub async fn watch<K: Versioned>(source: &Source, mut handle: impl FnMut(Event<K>)) -> Infallible {
    let mut position = Position::default();
    loop {
        let attempt = match position.next().clone() {
            Next::Page(page) => list(source, &mut position, page, &mut handle).await,
            Next::Changes(version) => follow(source, &mut position, &version, &mut handle).await,
        };
        let delay = attempt.unwrap_or_else(|error| {
            let delay = position.failed(&error);
            handle(Event::Failed(error));
            delay
        });
        ticking(sleep(delay), || handle(Event::Waiting)).await;
    }
}

/// Requests a page of the list, whose objects are delivered while it arrives: again, if it fails
/// before its end. Returns the delay until the next request.
async fn list<K: Versioned>(
    source: &Source,
    position: &mut Position,
    page: Option<String>,
    handle: &mut impl FnMut(Event<K>),
) -> Result<Duration, Error> {
    if page.is_none() {
        // Before the request: what the caller writes from now on may be missing in the list.
        handle(Event::Change(Change::ListBegun));
    }
    let mut page = ticking(source.page(page), || handle(Event::Waiting)).await?;
    while let Some(object) = ticking(page.next(), || handle(Event::Waiting)).await? {
        handle(Event::Change(Change::Listed(object)));
    }
    position.listed(page.end()?)?;
    if matches!(position.next(), Next::Changes(_)) {
        handle(Event::Change(Change::ListComplete));
        if position.list_complete() {
            handle(Event::Established);
        }
    }
    Ok(Duration::ZERO)
}

/// Follows the changes after `version` until the response ends. Returns the delay until the next
/// request.
async fn follow<K: Versioned>(
    source: &Source,
    position: &mut Position,
    version: &str,
    handle: &mut impl FnMut(Event<K>),
) -> Result<Duration, Error> {
    let body = ticking(source.changes(version), || handle(Event::Waiting)).await?;
    let (mut lines, mut has_events, began) = (Lines::new(body), false, Instant::now());
    loop {
        let waiting = || {
            if position.established() {
                handle(Event::Established);
            }
            handle(Event::Waiting);
        };
        let Some(line) = ticking(lines.next(), waiting).await? else {
            return position.ended(began.elapsed(), has_events);
        };
        let event = match serde_json::from_slice::<WatchEvent<K>>(&line) {
            // The response ended within a line.
            Err(error) if error.is_eof() => return position.ended(began.elapsed(), has_events),
            event => event.map_err(Error::Unreadable)?,
        };
        let event = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                position.follow(object.resource_version().cloned())?;
                Event::Change(Change::Applied(object))
            }
            WatchEvent::Deleted(object) => {
                position.follow(object.resource_version().cloned())?;
                Event::Change(Change::Deleted(object))
            }
            WatchEvent::Bookmark(bookmark) => {
                position.follow(Some(bookmark.metadata.resource_version))?;
                Event::Bookmark
            }
            WatchEvent::Error(status) => return Err(Error::Request(kube::Error::Api(status))),
        };
        has_events = true;
        handle(event);
        if position.established() {
            handle(Event::Established);
        }
    }
}
