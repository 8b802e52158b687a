//! Flags that decide where the operator works, and whose permissions count.

use clap::Args;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::scope::Scope;
use crate::api::scope::namespace_name;
use crate::args::service_account::service_account;
use crate::decide::consent::Tenancy;

/// Where the operator works, and whose permissions count.
#[derive(Clone, Debug, Args)]
pub struct Boundaries {
    /// Name of the ServiceAccount whose permissions are checked for every ConfigMapSync that names
    /// none, in its own namespace. Without it: those of the author, when the ConfigMapSync is
    /// written.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_DEFAULT_SERVICE_ACCOUNT",
        value_name = "NAME",
        value_parser = service_account
    )]
    pub default_service_account: Option<String>,

    /// Namespaces whose ConfigMapSyncs need no ServiceAccount in spite of
    /// --default-service-account, which is required with it: names, or globs such as platform-*,
    /// separated by commas.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_TRUSTED_NAMESPACES",
        value_name = "NAMES",
        requires = "default_service_account"
    )]
    pub trusted_namespaces: Vec<NamespacePatterns>,

    /// Namespaces that the operator is limited to, separated by commas: names, not globs. The operator
    /// adds its own, other subcommands do not. Without any: all namespaces.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_NAMESPACES",
        value_delimiter = ',',
        value_parser = namespace_name
    )]
    pub namespaces: Vec<String>,
}

// === impl Boundaries ===

impl Boundaries {
    /// Whose permissions count.
    #[must_use]
    pub fn tenancy(&self) -> Tenancy {
        Tenancy {
            default_service_account: self.default_service_account.clone(),
            trusted_namespaces: self.trusted_namespaces.iter().cloned().collect(),
        }
    }

    /// The namespaces that are named.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::only(&self.namespaces)
    }

    /// The scope of an operator in the namespace `own`.
    #[must_use]
    pub fn scope_of_operator(&self, own: &str) -> Scope {
        Scope::of(&self.namespaces, own)
    }
}
