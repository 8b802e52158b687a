//! Flags of the commands that decide as the operator does.

use clap::Args;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::args::boundaries::Boundaries;
use crate::names;

/// The operator as which a command decides. What no flag sets is read from its Deployment.
#[derive(Clone, Debug, Args)]
pub struct Installation {
    /// Namespace of the operator.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub operator_namespace: String,

    /// Name of the operator's Deployment. The protected namespaces, the default ServiceAccount with the
    /// trusted namespaces, and the namespaces that the operator is limited to are read from it, unless
    /// flags set them. It need not exist.
    #[arg(long, value_name = "NAME", default_value = names::INSTALLATION)]
    pub deployment: String,

    /// Namespaces that are never destinations: names, or globs such as openshift-*, separated by
    /// commas. The operator's own namespace is always one of them. Without it: those of the operator.
    #[arg(long, env = "CONFIGMAPSYNC_PROTECTED_NAMESPACES", value_name = "NAMES")]
    pub protected_namespaces: Vec<NamespacePatterns>,

    /// As the operator's.
    #[command(flatten)]
    pub boundaries: Boundaries,
}
