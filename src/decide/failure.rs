//! A reason with its message.

use crate::decide::reason::Reason;

/// A reason and a message, as a status reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The machine-readable reason.
    pub reason: Reason,
    /// What is wrong, on which object, and what to do. Never contains a value of a `ConfigMap`.
    pub message: String,
}

// === impl Failure ===

impl Failure {
    /// Combines a reason and a message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
