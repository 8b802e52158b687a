//! A reason with its message.

use crate::decide::reason::Reason;
use crate::decide::text::MAX_TEXT;
use crate::decide::text::cut;

/// A reason and a message, as a status reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The machine-readable reason.
    pub reason: Reason,
    /// What is wrong, on which object, and what to do. Never contains a value of a `ConfigMap`, and
    /// is cut to [`MAX_TEXT`].
    pub message: String,
}

// === impl Failure ===

impl Failure {
    /// Combines a reason and a message, which is cut to [`MAX_TEXT`].
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Self { reason, message: cut(MAX_TEXT, message.as_ref()) }
    }
}
