//! The API `apps.nishaf.info/v1`: the kinds that users and the operator write and read.
//!
//! The descriptions of the fields are the manual that `kubectl explain` prints.
//!
//! Every validation rule is on `spec` or below. A rule on the root object would also reject the
//! finalizer and status patches of objects that were stored before the rule existed, and so block
//! their deletion. For the same reason no rule may fail to evaluate: the API server tolerates a
//! violation in a field that has not changed, but never an error such as a missing field. That is
//! why the rules use `has` even for required fields.

mod config_map_sync;
pub mod dns_names;
mod installed_definition;
pub mod leader;
pub mod metadata;
pub mod namespace_patterns;
mod namespace_selector;
pub mod namespaced_name;
pub mod scope;
mod stored;
pub mod uid;

pub use config_map_sync::ConfigMapSync;
pub use config_map_sync::ConfigMapSyncSpec;
pub use config_map_sync::ConfigMapSyncStatus;
pub use config_map_sync::ConflictPolicy;
pub use config_map_sync::CopyCount;
pub use config_map_sync::DeletionPolicy;
pub use config_map_sync::DestinationFailure;
pub use config_map_sync::DestinationMetadata;
pub use config_map_sync::SourceDeletionPolicy;
pub use config_map_sync::SourceVersion;
pub use config_map_sync::custom_resource_definition;
pub use installed_definition::KEPT_BY_HELM;
pub use leader::ConfigMapSyncLeader;
pub use leader::ConfigMapSyncLeaderSpec;
pub use stored::StoredConfigMapSync;
