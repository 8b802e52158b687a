//! The sync that a reconcile is about.

use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Reader;
use crate::controller::queue::Queue;
use crate::decide::observed::ObservedSync;
use crate::kubernetes::memory::Reservation;

/// The delay of the next reconcile after a failed read.
const PAUSE: Duration = Duration::from_secs(5);

/// The sync `name`, and the memory that it needs, until its reconcile ends: a large sync is read.
/// `None` if it does not exist, or if that read has failed: then another reconcile follows.
pub async fn known_sync(
    reader: &Reader,
    queue: &Queue,
    name: &NamespacedName,
) -> Option<(ObservedSync, Option<Reservation>)> {
    match reader.sync(name).await {
        Ok(known) => known,
        Err(failure) => {
            tracing::warn!(error = failure.failure.message, "reconcile failed; will retry");
            queue.push_later(name.clone(), PAUSE);
            None
        }
    }
}
