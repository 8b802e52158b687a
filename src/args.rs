//! The command line. Each flag of `run` has an environment variable.

mod boundaries;
mod commands;
mod duration;
mod installation;
mod run;
mod service_account;

use clap::Parser;
use clap::Subcommand;
use clap_complete::Shell;

pub use boundaries::Boundaries;
pub use commands::Check;
pub use commands::Cluster;
pub use commands::Manifests;
pub use commands::Output;
pub use commands::Plan;
pub use commands::Rights;
pub use commands::Sweep;
pub use commands::Uninstall;
pub use installation::Installation;
pub use run::LeaderElection;
pub use run::Run;

/// Keeps copies of ConfigMaps equal to their source, across namespaces.
#[derive(Debug, Parser)]
#[command(name = "configmapsync", version, max_term_width = 100)]
pub struct Arguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    ///
    /// Exit code: 0 stopped by a signal; 1 it could not start, or lost leadership; 2 wrong usage.
    Run(Box<Run>),
    /// Print the manifests of the operator: kinds, permissions and policies.
    ///
    /// Exit code: 0 done; 1 a file could not be written; 2 wrong usage.
    Manifests(Manifests),
    /// List copies whose ConfigMapSync no longer exists, and delete or release them.
    ///
    /// The operator does this too, unless there are unusually many such copies. Uses the
    /// permissions of the caller, not those of the operator. Exit code: 0 done, or nothing to do; 1
    /// something failed, or was declined; 2 wrong usage.
    Sweep(Sweep),
    /// Show what the operator would do and why, without doing it.
    ///
    /// For one ConfigMapSync, for a file as if it were applied, or for all ConfigMapSyncs. Uses the
    /// permissions of the caller, who must be allowed to list ConfigMapSyncs, ConfigMaps and
    /// Namespaces, and to get the sources. Exit code: 0 nothing to do; 2 there are changes; 1
    /// something failed, or wrong usage.
    Plan(Plan),
    /// Print the Roles and RoleBindings that the ServiceAccount of a ConfigMapSync needs.
    ///
    /// For one ConfigMapSync, or for a file as if it were applied. As YAML, for `kubectl apply`: to get
    /// the source, and to create, update and delete the copies.
    /// Uses the permissions of the caller, who must be allowed to list ConfigMapSyncs and
    /// Namespaces. Exit code: 0 done; 1 the ConfigMapSync does not exist or has no ServiceAccount,
    /// or something failed; 2 wrong usage.
    Rights(Rights),
    /// Verify the installation.
    ///
    /// Installed: both kinds, the Deployment with all replicas ready, and a leader record that
    /// names the holder of the Lease. Enforced: the four admission policies, as this binary
    /// generates them. Permitted: each permission of the operator's ServiceAccount, and no
    /// binding of a namespace that does not exist. Consented: which ConfigMapSyncs are
    /// older than the policy that checks their authors' permissions. Uses the permissions of the
    /// caller, and writes nothing. Exit code: 0 everything is in order, apart from warnings; 1
    /// something is wrong, or could not be read, or, with --strict, there is a warning; 2 wrong
    /// usage.
    Check(Check),
    /// Stop the operator, and remove from the cluster what would block its removal.
    ///
    /// Scales the operator's Deployment to 0 and waits until its pods have ended; removes the
    /// annotation apps.nishaf.info/deletion-policy from all copies, so that no later installation
    /// collects them; then removes the operator's finalizer from every ConfigMapSync, and deletes
    /// the operator's role bindings. Copies and ConfigMapSyncs stay, and a later installation
    /// continues with them. Each object is tried a limited number of times; what is left is listed
    /// with the kubectl command that finishes it. Can be repeated after a failure. Uses the
    /// permissions of the caller. Exit code: 0 done, or nothing to do; 1 something failed or is
    /// left, or was declined; 2 wrong usage.
    Uninstall(Uninstall),
    /// Print the version.
    ///
    /// Exit code: 0 done; 2 wrong usage.
    Version,
    /// Print shell completions.
    ///
    /// Exit code: 0 done; 2 wrong usage.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn each_flag_of_run_has_an_environment_variable() {
        let command = Arguments::command();
        let run = command.find_subcommand("run").unwrap();
        // KUBECONFIG may name several files, which are merged.
        let others = |flag: &&clap::Arg| !["help", "kubeconfig"].contains(&flag.get_id().as_str());
        for flag in run.get_arguments().filter(others) {
            assert!(flag.get_env().is_some(), "{} has none", flag.get_id());
        }
    }
}
