//! Flags of what a person asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use crate::api::namespaced_name::NamespacedName;
use crate::args::duration;
use crate::names;

/// Which cluster a command is for.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// Kubeconfig of the cluster; without it, the one that kubectl takes.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; without it, the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Flags of `sweep`.
#[derive(Clone, Debug, Args)]
pub struct Sweep {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The operator's namespace.
    #[arg(long, short, value_name = "NAME", default_value = names::INSTALLATION)]
    pub namespace: String,

    /// The operator's Deployment. It tells the ServiceAccount and the protected namespaces, too.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub deployment: String,

    /// How the findings look.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// Flags of `uninstall`.
#[derive(Clone, Debug, Args)]
pub struct Uninstall {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The operator's namespace.
    #[arg(long, short, value_name = "NAME", default_value = names::INSTALLATION)]
    pub namespace: String,

    /// The operator's Deployment. It may be gone already, and its namespace, too.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub deployment: String,

    /// Delete the copies that the operator made, except where a ConfigMapSync says to retain them;
    /// those, and what it has taken over, lose our marks and stay.
    #[arg(long)]
    pub delete_copies: bool,

    /// How long all of it may take.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub timeout: Duration,

    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Flags of `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,

    /// The ConfigMapSync; without it, all of them.
    #[arg(value_name = "NAMESPACE/NAME", conflicts_with = "filename")]
    pub sync: Option<NamespacedName>,

    /// Manifests of ConfigMapSyncs, as if they were applied; - reads them from standard input.
    #[arg(long, short, value_name = "FILE")]
    pub filename: Option<PathBuf>,

    /// How the plan looks.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,

    /// Namespaces that the operator never writes to, its own among them.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_PROTECTED_NAMESPACES",
        value_delimiter = ',',
        default_value = "kube-system,kube-public,kube-node-lease,configmapsync"
    )]
    pub protected_namespaces: Vec<String>,
}

/// How what is found is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}
