//! What can be asked of the binary. Every flag of the operator has an environment variable.

mod commands;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap_complete::Shell;
use k8s_openapi::jiff::SignedDuration;

pub use commands::Check;
pub use commands::Cluster;
pub use commands::Output;
pub use commands::Plan;
pub use commands::Sweep;
pub use commands::Uninstall;

use crate::names;
use crate::telemetry::LogFormat;

/// Keeps copies of a ConfigMap equal to their source.
#[derive(Debug, Parser)]
#[command(name = "configmapsync", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    ///
    /// Exit code: 0 stopped by a signal; 1 it could not start, or lost leadership; 2 wrong usage.
    Run(Box<Run>),
    /// Print the manifests that the operator needs: its kinds, permissions and policies.
    ///
    /// Exit code: 0 done; 1 a file could not be written; 2 wrong usage.
    Manifests(Manifests),
    /// List the copies whose ConfigMapSync no longer exists, and delete or release them.
    ///
    /// The operator does so by itself, except where there are suspiciously many. Whoever runs this
    /// needs the rights to do it: nothing is done on behalf of the operator. Exit code: 0 done, or
    /// nothing to do; 1 something failed, or was declined; 2 wrong usage.
    Sweep(Sweep),
    /// Show what the operator would do, and why, without doing it.
    ///
    /// For one ConfigMapSync, for a file as if it were applied, or for all. Reads with the rights
    /// of whoever runs this, who needs to list ConfigMapSyncs, ConfigMaps and Namespaces, and to
    /// read the sources. Exit code: 0 nothing to do; 2 there are changes; 1 something
    /// failed, or wrong usage.
    Plan(Plan),
    /// Look whether all is well: what is installed, enforced and permitted.
    ///
    /// Installed: both kinds, the Deployment with all replicas ready, and a leader that is
    /// announced. Enforced: the four admission policies, as this binary generates them. Permitted:
    /// each right that the operator's ServiceAccount needs. Consented: which ConfigMapSyncs are
    /// older than the policy that asks their authors for their own rights. Reads with the rights of
    /// whoever runs this, and writes nothing. Exit code: 0 all is well; 1 something is wrong, or
    /// could not be looked at; 2 wrong usage.
    Check(Check),
    /// Stop the operator, and undo what it has left in the cluster, so that it can be removed.
    ///
    /// Scales the operator's Deployment to 0 and waits until none of its pods is left; takes the
    /// mark off all copies that asks for their deletion; then lifts our finalizer from every
    /// ConfigMapSync. Copies and ConfigMapSyncs stay, and an operator that is installed again goes
    /// on with them. Run again, it goes on where it stopped. Whoever runs this needs the rights to
    /// do it. Exit code: 0 done, or nothing to do; 1 something failed, or was declined; 2 wrong
    /// usage.
    Uninstall(Uninstall),
    /// Print the version.
    ///
    /// Exit code: 0 done; 2 wrong usage.
    Version,
    /// Print completions for a shell.
    ///
    /// Exit code: 0 done; 2 wrong usage.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Kubeconfig of the cluster; without it, the pod's ServiceAccount, or ~/.kube/config.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The operator's own namespace, where its Lease lives.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,

    /// Name of the operator's pod.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,

    /// uid of the operator's pod.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: String,

    /// Where /livez, /readyz and /metrics are served; port 0 picks a free one.
    #[arg(long, env = "CONFIGMAPSYNC_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,

    /// Where a ConfigMap is created by dry run, to see whether the fence is up; nothing is stored.
    #[arg(long, env = "CONFIGMAPSYNC_FENCE_TRIAL_NAMESPACE", default_value = "default")]
    pub fence_trial_namespace: String,

    /// How log lines look.
    #[arg(long, env = "CONFIGMAPSYNC_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,

    /// What is logged, as tracing's EnvFilter reads it.
    #[arg(long, env = "CONFIGMAPSYNC_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// How leadership is contended for.
    #[command(flatten)]
    pub leader_election: LeaderElection,

    /// How often each sync is verified against live data.
    #[arg(long, env = "CONFIGMAPSYNC_RESYNC_PERIOD", default_value = "1h", value_parser = duration)]
    pub resync_period: Duration,

    /// How often copies whose ConfigMapSync no longer exists are looked for.
    #[arg(long, env = "CONFIGMAPSYNC_SWEEP_PERIOD", default_value = "1m", value_parser = duration)]
    pub sweep_period: Duration,

    /// How long such a copy is kept if its ConfigMapSync was never seen alive: it may have been
    /// restored a moment before its ConfigMapSync.
    #[arg(long, env = "CONFIGMAPSYNC_ORPHAN_GRACE", default_value = "10m", value_parser = duration)]
    pub orphan_grace: Duration,

    /// How many writes of copies are in flight at a time.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_MAX_CONCURRENT_WRITES",
        default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub max_concurrent_writes: u16,

    /// Namespaces that are never destinations; the operator's own is always one of them.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_PROTECTED_NAMESPACES",
        value_delimiter = ',',
        default_value = names::PROTECTED_NAMESPACES
    )]
    pub protected_namespaces: Vec<String>,
}

/// Flags of the leader election; client-go's terms.
#[derive(Clone, Debug, Args)]
pub struct LeaderElection {
    /// Name of the Lease.
    #[arg(
        long = "leader-election-lease-name",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_LEASE_NAME",
        default_value = names::LEASE_NAME
    )]
    pub lease_name: String,

    /// How long a standby waits after the last renewal before it takes over.
    #[arg(
        long = "leader-election-lease-duration",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_LEASE_DURATION",
        default_value = "15s",
        value_parser = duration
    )]
    pub lease_duration: Duration,

    /// How long the leader goes on after its last renewal.
    #[arg(
        long = "leader-election-renew-deadline",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_RENEW_DEADLINE",
        default_value = "10s",
        value_parser = duration
    )]
    pub renew_deadline: Duration,

    /// How often the Lease is polled.
    #[arg(
        long = "leader-election-retry-period",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_RETRY_PERIOD",
        default_value = "2s",
        value_parser = duration
    )]
    pub retry_period: Duration,
}

/// Flags of `manifests`.
#[derive(Clone, Debug, Args)]
pub struct Manifests {
    /// Write each file below this directory, the root of the repository, instead of printing.
    #[arg(long, value_name = "DIRECTORY")]
    pub write: Option<PathBuf>,
}

// === impl LeaderElection ===

impl LeaderElection {
    /// Checks that lease duration > renew deadline > retry period, without which two leaders, or
    /// none, are to be expected (client-go, `leaderelection.LeaderElectionConfig`).
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn check(&self) -> Result<(), String> {
        let Self { lease_duration, renew_deadline, retry_period, .. } = self;
        if lease_duration <= renew_deadline {
            return Err(format!(
                "--leader-election-lease-duration ({lease_duration:?}) must be longer than \
                 --leader-election-renew-deadline ({renew_deadline:?})"
            ));
        }
        if renew_deadline <= retry_period {
            return Err(format!(
                "--leader-election-renew-deadline ({renew_deadline:?}) must be longer than \
                 --leader-election-retry-period ({retry_period:?})"
            ));
        }
        if lease_duration.subsec_nanos() != 0 {
            return Err(format!(
                "--leader-election-lease-duration ({lease_duration:?}) must be whole seconds: a \
                 Lease cannot say more"
            ));
        }
        Ok(())
    }
}

/// Reads a duration such as `15s`, `10m` or `1h30m`; it must be longer than zero.
fn duration(text: &str) -> Result<Duration, String> {
    let complaint = || format!("{text:?} is not a duration: write for example 15s, 10m or 1h");
    let signed: SignedDuration = text.parse().map_err(|_| complaint())?;
    let duration = Duration::try_from(signed).map_err(|_| complaint())?;
    if duration.is_zero() {
        Err("a duration of zero makes no sense here".to_owned())
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn election(lease: u64, renew: u64, retry: u64) -> LeaderElection {
        LeaderElection {
            lease_name: "x".into(),
            lease_duration: Duration::from_secs(lease),
            renew_deadline: Duration::from_secs(renew),
            retry_period: Duration::from_secs(retry),
        }
    }

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_of_run_has_an_environment_variable() {
        let command = Arguments::command();
        let run = command.find_subcommand("run").unwrap();
        for flag in run.get_arguments().filter(|flag| flag.get_id() != "help") {
            assert!(flag.get_env().is_some(), "{} has none", flag.get_id());
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "15", "soon", "-3s", "0s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_times_of_the_election_are_checked_against_each_other() {
        assert_eq!(election(15, 10, 2).check(), Ok(()));
        assert!(election(10, 10, 2).check().unwrap_err().contains("lease-duration"));
        assert!(election(15, 2, 2).check().unwrap_err().contains("renew-deadline"));
    }
}
