//! What the operator knows of the cluster: filled by three watches, by live reads, and by the
//! responses to its own writes.
//!
//! Of `ConfigMaps` the cache keeps each marked copy, and each name that a sync refers to as source
//! or destination; everything else is dropped. It never keeps content, only the digest of content
//! that was read.
//!
//! # Guarantees
//! * Between two complete lists, the cache never replaces a version of an object by an older one of
//!   the same uid, unless a live read shows that etcd was restored.
//! * The response to a write is visible immediately; so is a live read that no newer event has
//!   overtaken.
//! * The cache may lag behind the cluster, but an entry is always true of the version that it
//!   names.
//!   Writes are conditional on that version.

mod change;
mod compact_json;
mod config_maps;
mod entry;
mod key;
mod large_namespaces;
mod lists;
mod namespaces;
mod packed;
mod packed_entry;
pub mod reader;
mod reads_in_flight;
mod shared_reads;
mod small_set;
mod store;
mod stored_namespace;
mod syncs;

pub use change::ConfigMapChange;
pub use change::Origin;
pub use config_maps::CachedConfigMap;
pub use entry::Entry;
pub use namespaces::NamespaceChange;
pub use namespaces::NamespaceFacts;
pub use namespaces::Selected;
pub use reader::Reader;
pub use store::Cache;
pub use store::PendingRead;
pub use stored_namespace::NamespaceLabels;
pub use stored_namespace::NamespaceMetadata;
pub use stored_namespace::StoredNamespace;
pub use syncs::KnownSync;
