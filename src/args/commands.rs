//! Flags of the other subcommands.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::namespace_name;
use crate::args::duration::duration;
use crate::args::installation::Installation;
use crate::names;

/// The cluster that a subcommand connects to.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// Kubeconfig of the cluster. Without it: the one that kubectl uses.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context in the kubeconfig. Without it: the current context.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Flags of `manifests`.
#[derive(Clone, Debug, Args)]
pub struct Manifests {
    /// Write each file below this directory, the root of the repository, instead of printing them.
    #[arg(long, value_name = "DIRECTORY")]
    pub write: Option<PathBuf>,
}

/// Flags of `sweep`.
#[derive(Clone, Debug, Args)]
pub struct Sweep {
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Namespace of the operator.
    #[arg(long, short, value_name = "NAME", default_value = names::INSTALLATION)]
    pub namespace: String,

    /// Name of the operator's Deployment. The ServiceAccount and the protected namespaces are read
    /// from it.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub deployment: String,

    /// Exit with 1 on warnings, too.
    #[arg(long)]
    pub strict: bool,

    /// Output format.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// Flags of `uninstall`.
#[derive(Clone, Debug, Args)]
pub struct Uninstall {
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Namespace of the operator.
    #[arg(long, short, value_name = "NAME", default_value = names::INSTALLATION)]
    pub namespace: String,

    /// Name of the operator's Deployment. It need not exist any more, nor its namespace.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub deployment: String,

    /// Namespaces in which to undo what the operator has done, separated by commas: those that it is
    /// limited to and its own, or some that it leaves before it is limited to the others. One that does
    /// not exist, or that is not one of these and has nothing to undo, is refused before anything is
    /// changed. Without any: all namespaces.
    #[arg(long, value_delimiter = ',', value_parser = namespace_name)]
    pub namespaces: Vec<String>,

    /// Delete the copies that the operator created, except those of a ConfigMapSync with
    /// deletionPolicy Retain. Those and adopted ConfigMaps stay, without ownership markers.
    #[arg(long)]
    pub delete_copies: bool,

    /// Timeout of the whole command, such as 5m.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub timeout: Duration,

    /// Do not ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

/// Flags of `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The ConfigMapSync. Without it: all ConfigMapSyncs.
    #[arg(value_name = "NAMESPACE/NAME", conflicts_with = "filename")]
    pub sync: Option<NamespacedName>,

    /// File with manifests of ConfigMapSyncs, planned as if they were applied. "-" reads standard
    /// input.
    #[arg(long, short, value_name = "FILE")]
    pub filename: Option<PathBuf>,

    /// Output format.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,

    /// The operator whose plan it is.
    #[command(flatten)]
    pub installation: Installation,
}

/// Flags of `rights`.
#[derive(Clone, Debug, Args)]
pub struct Rights {
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The ConfigMapSync.
    #[arg(
        value_name = "NAMESPACE/NAME",
        conflicts_with = "filename",
        required_unless_present = "filename"
    )]
    pub sync: Option<NamespacedName>,

    /// File with manifests of ConfigMapSyncs, whether or not they exist. "-" reads standard input.
    #[arg(long, short, value_name = "FILE")]
    pub filename: Option<PathBuf>,

    /// The operator that asks for the permissions. No Role is printed for namespaces that are never
    /// destinations.
    #[command(flatten)]
    pub installation: Installation,

    /// With a selector, print a Role for each namespace that it selects now, instead of one
    /// ClusterRole for all namespaces. Implied if the operator is limited to some namespaces.
    #[arg(long)]
    pub each_namespace: bool,
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable text.
    Text,
    /// JSON.
    Json,
}
