//! Decides, from what was seen, what should be and what has to be done about it.
//!
//! Pure and total: no await, no client, no clock, no randomness, no failure. Clippy refuses the
//! types and calls that would break this (`clippy.toml`). Everything that can be doubted was
//! settled before, in `observe`; what could not be settled is in [`Observed`] as a [`Failure`].
//!
//! ```text
//! Observed -> questions -> (reads) -> Observed -> desired -> Desired -> plan -> Plan
//!                                                     Plan that asks for nothing -> status
//! ```
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod content;
pub mod desired;
pub mod destinations;
pub mod drift;
pub mod excerpt;
pub mod markers;
pub mod observed;
pub mod orphans;
pub mod ownership;
pub mod plan;
pub mod reads;
pub mod reason;
pub mod stamp;
pub mod status;
pub mod uninstall;
pub mod validity;

#[cfg(test)]
mod simulation;

pub use content::Content;
pub use content::ContentHash;
pub use desired::Desired;
pub use desired::desired;
pub use markers::Markers;
pub use observed::Observed;
pub use ownership::Ownership;
pub use ownership::ownership;
pub use plan::Action;
pub use plan::Plan;
pub use plan::plan;
pub use reads::RequiredReads;
pub use reads::required_reads;
pub use status::status;

use crate::decide::reason::Reason;

/// What stands in the way, in the one vocabulary and in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for a person. Never holds a value of a `ConfigMap`.
    pub message: String,
}

// === impl Failure ===

impl Failure {
    /// `reason`, explained by `message`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
