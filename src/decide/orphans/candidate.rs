//! One copy that may be an orphan.

use std::time::Duration;

use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::Version;

/// Who requested a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionMode {
    /// The operator: with this grace period, and with the brake.
    Automatic(Duration),
    /// A user who has reviewed the list: without grace period or brake.
    Requested,
}

/// A copy whose `ConfigMapSync` is not in the cache.
#[derive(Clone, Debug)]
pub struct OrphanCandidate {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted and waits for its finalizers.
    pub deleting: bool,
    /// Its ownership markers.
    pub markers: Markers,
    /// The keys of its ownership markers, some of which may have unknown values.
    pub marker_keys: MarkerKeys,
    /// Its label `app.kubernetes.io/managed-by`.
    pub managed_by: ManagedBy,
    /// The state of its namespace.
    pub namespace: NamespaceState,
    /// An existing `ConfigMapSync` with the name in the markers has a destination here.
    pub adoptable: bool,
    /// Its `ConfigMapSync` was seen in this term, and left this copy behind.
    pub seen_alive: bool,
    /// How long it has been known as an orphan in this term.
    pub known_for: Duration,
    /// The result of a live read of its `ConfigMapSync`.
    pub owner: OwnerState,
    /// The failure of the previous write, while its backoff lasts.
    pub pending_retry: Option<Failure>,
}

/// The result of a live read of the `ConfigMapSync` named in the markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Not read yet.
    Unchecked,
    /// The API server answered 404 for this object, not for its kind.
    Deleted,
    /// A `ConfigMapSync` of this name exists, with another uid.
    Replaced,
    /// It exists.
    Exists,
    /// The read failed, with this message.
    Unknown(String),
}
