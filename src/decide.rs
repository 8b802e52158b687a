//! Decides what a `ConfigMapSync` requires: which copies to write, which to delete or release, and
//! which status to report.
//!
//! Everything here is a pure function of what was observed: no `await`, API client, clock or
//! randomness, and no error. Clippy rejects the types and functions that would break this
//! (`clippy.toml`). What could not be observed, such as a source whose read failed, is part of
//! [`Observed`], as a [`Failure`].
//!
//! ```text
//! Observed -> Decision { Desired, Plan, RequiredReads } -> (reads) -> Observed, until none is required
//! Plan without writes -> status -> ConfigMapSyncStatus
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`Decision`] | all of the next three |
//! | [`ownership`](mod@ownership) | to which `ConfigMapSync` an object belongs |
//! | [`desired`](mod@desired) | which copies should exist, with which content |
//! | [`plan`](mod@plan) | which writes make the cluster match that |
//! | [`reads`] | which objects have to be read before a plan is final |
//! | [`retire`](mod@retire) | whether a copy that is no longer desired is deleted or released |
//! | [`consent`] | what the ServiceAccount of a `ConfigMapSync` must be allowed to do |
//! | [`contention`] | whether another client keeps changing a copy |
//! | [`status`](mod@status) | what the status reports |
//! | [`slots`] | which writes may be in flight |
//! | [`quotes`] | whether a text of another program repeats a value of a `ConfigMap` |
//! | [`orphans`] | what happens to copies of `ConfigMapSyncs` that no longer exist |
//! | [`uninstall`] | what happens to copies when the operator is uninstalled |
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod consent;
pub mod content;
pub mod contention;
mod decision;
pub mod desired;
pub mod destinations;
pub mod drift;
pub mod excerpt;
mod failure;
mod managed_fields;
pub mod markers;
mod metadata_size;
pub mod observed;
pub mod opt_out;
pub mod orphans;
pub mod other_metadata;
pub mod ownership;
pub mod plan;
pub mod quotes;
pub mod reads;
pub mod reason;
pub mod retire;
pub mod scope;
pub mod shares;
pub mod slots;
pub mod stamp;
pub mod stamped;
pub mod status;
pub mod text;
pub mod trace_parent;
pub mod turns;
pub mod uninstall;
pub mod validity;
pub mod verb;

#[cfg(test)]
mod simulation;

pub use content::Content;
pub use content::ContentHash;
pub use decision::Decision;
pub use desired::Desired;
pub use desired::desired;
pub use failure::Failure;
pub use markers::Markers;
pub use observed::Observed;
pub use ownership::Ownership;
pub use ownership::ownership;
pub use plan::Action;
pub use plan::Plan;
pub use plan::plan;
pub use reads::RequiredReads;
pub use retire::retire;
pub use status::status;
