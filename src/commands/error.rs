//! Why a command cannot be carried out.

use crate::api::namespaced_name::NamespacedName;
use crate::kubernetes::config;
use crate::kubernetes::error::ApiFailure;
use crate::orphans::DefinitionError;
use crate::uninstall::Error as UninstallError;

/// A command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration of the connection is missing or unusable.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A client could not be built.
    #[error("the cluster's address or the credentials are unusable: correct the kubeconfig")]
    Client(#[source] kube::Error),
    /// The API server rejected a read, or did not respond.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The kind is not installed as it should be.
    #[error("cannot determine which copies are orphans: {0}")]
    Definition(#[from] DefinitionError),
    /// The arguments name nothing that the operator acts on.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A plan could not be made.
    #[error("cannot plan for ConfigMapSync {sync}: {why}")]
    Plan {
        /// The sync.
        sync: NamespacedName,
        /// The cause.
        why: String,
    },
    /// The permissions that a sync needs could not be determined.
    #[error("cannot print the Roles for ConfigMapSync {sync}: {why}")]
    Rights {
        /// The sync.
        sync: NamespacedName,
        /// The cause.
        why: String,
    },
    /// The result could not be serialized.
    #[error("cannot write the result as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// The result could not be serialized.
    #[error("cannot write the result as JSON")]
    Json(#[from] serde_json::Error),
    /// What there is to undo could not be counted.
    #[error(transparent)]
    Count(#[from] UninstallError),
    /// The operator could not be stopped, or not everything could be undone.
    #[error("{why}. Nothing is lost: run this command again to continue, or {revert}")]
    Uninstall {
        /// What failed.
        why: String,
        /// How to start the operator again.
        revert: String,
    },
    /// The terminal failed.
    #[error("cannot read from or write to the terminal")]
    Terminal(#[from] std::io::Error),
}

/// The arguments name nothing that the operator acts on.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read, or contains no valid `ConfigMapSync`.
    #[error("cannot use {path}: {why}")]
    File {
        /// Path of the file.
        path: String,
        /// The cause.
        why: String,
    },
    /// The sync does not exist.
    #[error("ConfigMapSync {0} does not exist: specify another, or a file with --filename")]
    NoSuchSync(NamespacedName),
    /// The namespace does not exist.
    #[error("namespace {0} does not exist: correct --namespaces. Nothing was changed")]
    NoSuchNamespace(String),
    /// The operator has nothing to do with the namespace.
    #[error(
        "the operator is limited to the namespaces {scope}, and there is nothing to undo in \
         {namespace}: correct --namespaces. Nothing was changed"
    )]
    NothingToUndo {
        /// The namespace.
        namespace: String,
        /// The namespaces of the operator.
        scope: String,
    },
    /// The operator does not see the sync.
    #[error(
        "the operator does not see ConfigMapSync {0}: it does not work in that namespace, unless \
         --namespaces differs from the operator's: repeat with its list and its own namespace"
    )]
    OutsideScope(NamespacedName),
}
