//! Why the operator ended.

use std::net::SocketAddr;

use crate::app::connections;
use crate::election::Lost;
use crate::telemetry;

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags contradict each other. The text says which, and what to change.
    #[error("{0}")]
    Usage(String),
    /// Telemetry could not be started.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// No client could be built for the cluster.
    #[error(transparent)]
    Clients(#[from] connections::Error),
    /// The address for health and metrics is not available.
    #[error("cannot listen on {address}: free it, or choose another by --http-address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No signal handler could be installed.
    #[error("cannot install handlers for SIGTERM and SIGINT")]
    Signals(#[source] std::io::Error),
    /// Leadership was lost.
    #[error("leadership lost: {0}; exiting, to restart as a standby")]
    Lost(Lost),
    /// The controller ended before it was stopped.
    #[error("the controller ended unexpectedly; exiting, to restart as a standby")]
    Controller,
}

// === impl Error ===

impl Error {
    /// Whether the error is in the log: true for every error after logging was started.
    #[must_use]
    pub const fn is_logged(&self) -> bool {
        !matches!(self, Self::Usage(_) | Self::Telemetry(_))
    }
}
