//! Orphans: marked copies whose `ConfigMapSync` no longer exists.
//!
//! Shared by orphan collection in the leader and by `configmapsync sweep`.

mod candidates;
mod deleted_syncs;
mod live;

pub use candidates::Owners;
pub use candidates::candidates;
pub use candidates::candidates_of;
pub use deleted_syncs::DeletedSyncs;
pub use live::DefinitionError;
pub use live::access;
pub use live::ensure_established;
pub use live::read_owners;
pub use live::refresh_candidates;
