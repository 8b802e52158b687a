//! The actions of a user in a cluster, and waiting for their effects.

mod cluster_user;
mod config_map_objects;
mod namespace_objects;
mod one_to_one;
mod orphaned_copies;
mod sync_objects;
mod synced_copy;

pub use crate::fixture::cluster_user::Fixture;
pub use crate::fixture::cluster_user::SOON;
pub use crate::fixture::one_to_one::one_to_one;
