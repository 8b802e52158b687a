//! What a person asks for: each command runs to its end, and writes, if at all, as that person.
//!
//! What is decided is decided by the code that the operator decides by.

mod check;
mod consent;
mod plan;
mod survey;
mod sweep;
mod table;
mod uninstall;

pub use check::check;
pub use plan::AskedError;
pub use plan::plan;
pub use sweep::sweep;
pub use uninstall::uninstall;

use std::io::Write as _;

use kube::Client;

use crate::api::namespaced_name::NamespacedName;
use crate::args::Cluster;
use crate::kubernetes::config;
use crate::orphans::DefinitionError;
use crate::uninstall::Error as UninstallError;

/// How a command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Success,
    /// Something failed, which the command has told; or a person declined.
    Failure,
    /// Wrong usage.
    Usage,
    /// There is something to do, and only that was asked.
    Changes,
}

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cluster, or none that can be used.
    #[error(transparent)]
    Cluster(#[from] config::Error),
    /// A client could not be built.
    #[error("the cluster's address or credentials cannot be used")]
    Build(#[source] kube::Error),
    /// Something could not be read.
    #[error("cannot {attempt}")]
    Read {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: kube::Error,
    },
    /// The kind is not installed as it should be.
    #[error("cannot determine which copies are orphans: {0}")]
    Definition(#[from] DefinitionError),
    /// What was asked for cannot be planned.
    #[error(transparent)]
    Asked(#[from] plan::AskedError),
    /// What has to be known for a plan could not be read.
    #[error("cannot plan for ConfigMapSync {sync}: {why}")]
    Plan {
        /// For which.
        sync: NamespacedName,
        /// Why.
        why: String,
    },
    /// What was found cannot be written as JSON.
    #[error("cannot write what was found as JSON")]
    Json(#[from] serde_json::Error),
    /// What there is to undo could not be told.
    #[error(transparent)]
    Look(#[from] UninstallError),
    /// The operator could not be stopped, or not all of it be undone.
    #[error("{why}. Nothing is lost: run this again to go on, or {back}")]
    Uninstall {
        /// What failed.
        why: String,
        /// How to go back.
        back: String,
    },
    /// The terminal failed.
    #[error("cannot read from or write to the terminal")]
    Terminal(#[from] std::io::Error),
}

// === impl Exit ===

impl Exit {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage | Self::Changes => 2,
        }
    }
}

/// Prints `text`; a reader that has gone away, as in a pipe to `head`, is no failure.
///
/// # Errors
/// The terminal failed.
pub fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A client, and the namespace that is meant where none is named.
async fn connect(flags: &Cluster) -> Result<(Client, String), Error> {
    let config = config::config(flags.kubeconfig.as_deref(), flags.context.as_deref()).await?;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config).map_err(Error::Build)?, namespace))
}
