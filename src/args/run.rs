//! Flags of `run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::args::boundaries::Boundaries;
use crate::args::duration::duration;
use crate::names;
use crate::telemetry::LogFormat;

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Kubeconfig of the cluster. Without it: the files in KUBECONFIG, ~/.kube/config, or the pod's
    /// ServiceAccount.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of the operator, its Lease and its leader record. From the downward API.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,

    /// Name of the operator's pod. From the downward API.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,

    /// uid of the operator's pod. From the downward API. The fence compares it with the pod that
    /// the ServiceAccount token is bound to.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: String,

    /// Address and port of /livez, /readyz and /metrics. Port 0 selects a free port. [::] stands for all
    /// addresses, of IPv4, too, and of IPv4 alone where there is no IPv6.
    #[arg(long, env = "CONFIGMAPSYNC_HTTP_ADDRESS", default_value = "[::]:8080")]
    pub http_address: SocketAddr,

    /// Namespace in which the operator creates a ConfigMap by dry run, to test the fence. Nothing
    /// is stored. Change it if a policy, webhook or quota refuses ConfigMaps there.
    #[arg(long, env = "CONFIGMAPSYNC_FENCE_TRIAL_NAMESPACE", default_value = "default")]
    pub fence_trial_namespace: String,

    /// Format of log lines.
    #[arg(long, env = "CONFIGMAPSYNC_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,

    /// Log level, or a list of levels by target: "debug", or "info,kube=debug". The syntax is that
    /// of the crate tracing-subscriber (EnvFilter).
    #[arg(long, env = "CONFIGMAPSYNC_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// Flags of the leader election.
    #[command(flatten)]
    pub leader_election: LeaderElection,

    /// How often each ConfigMapSync is verified against live data, such as 1h. A safety net:
    /// changes are followed at once, by watches.
    #[arg(long, env = "CONFIGMAPSYNC_RESYNC_PERIOD", default_value = "1h", value_parser = duration)]
    pub resync_period: Duration,

    /// How often copies whose ConfigMapSync no longer exists are searched for, such as 1m.
    #[arg(long, env = "CONFIGMAPSYNC_SWEEP_PERIOD", default_value = "1m", value_parser = duration)]
    pub sweep_period: Duration,

    /// How long such a copy is kept if the operator never observed its ConfigMapSync, such as 10m.
    /// Increase it if ConfigMapSyncs are restored from a backup later than that after their copies.
    #[arg(long, env = "CONFIGMAPSYNC_ORPHAN_GRACE", default_value = "10m", value_parser = duration)]
    pub orphan_grace: Duration,

    /// Maximum number of concurrent writes of copies. Decrease it to reduce the load on the API
    /// server; increase it to update many copies faster.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_MAX_CONCURRENT_WRITES",
        default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub max_concurrent_writes: u16,

    /// Namespaces that are never destinations: names, or globs such as openshift-*, separated by
    /// commas. The operator's own namespace is always protected.
    #[arg(
        long,
        env = "CONFIGMAPSYNC_PROTECTED_NAMESPACES",
        default_value = names::PROTECTED_NAMESPACES
    )]
    pub protected_namespaces: Vec<NamespacePatterns>,

    /// Where the operator works, and whose permissions count.
    #[command(flatten)]
    pub boundaries: Boundaries,
}

/// Flags of the leader election. The terms are those of client-go.
#[derive(Clone, Debug, Args)]
pub struct LeaderElection {
    /// Name of the Lease. The operator's permissions are restricted to the default name.
    #[arg(
        long = "leader-election-lease-name",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_LEASE_NAME",
        default_value = names::LEASE_NAME
    )]
    pub lease_name: String,

    /// How long a standby waits after the last renewal before it acquires the Lease, in whole
    /// seconds, such as 15s. Must be longer than the renew deadline. Increase all three durations
    /// if the API server is often slow; a failover then takes longer.
    #[arg(
        long = "leader-election-lease-duration",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_LEASE_DURATION",
        default_value = "15s",
        value_parser = duration
    )]
    pub lease_duration: Duration,

    /// How long the leader continues after its last renewal, such as 10s. Must be longer than the
    /// retry period.
    #[arg(
        long = "leader-election-renew-deadline",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_RENEW_DEADLINE",
        default_value = "10s",
        value_parser = duration
    )]
    pub renew_deadline: Duration,

    /// How often the Lease is read or renewed, such as 2s. At most 30s.
    #[arg(
        long = "leader-election-retry-period",
        env = "CONFIGMAPSYNC_LEADER_ELECTION_RETRY_PERIOD",
        default_value = "2s",
        value_parser = duration
    )]
    pub retry_period: Duration,
}

/// The election makes progress once per retry period, a slow request included; `/livez` fails after a
/// minute without.
const MAX_RETRY_PERIOD: Duration = Duration::from_secs(30);

// === impl LeaderElection ===

impl LeaderElection {
    /// Checks that lease duration > renew deadline > retry period, as client-go does
    /// (`leaderelection.LeaderElectionConfig`). Otherwise two replicas could lead, or none.
    ///
    /// # Errors
    /// Which flags to change.
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
        if *retry_period > MAX_RETRY_PERIOD {
            return Err(format!(
                "--leader-election-retry-period ({retry_period:?}) must be at most \
                 {MAX_RETRY_PERIOD:?}: an election without progress for a minute fails /livez"
            ));
        }
        if lease_duration.subsec_nanos() != 0 {
            return Err(format!(
                "--leader-election-lease-duration ({lease_duration:?}) must be whole seconds: a \
                 Lease cannot store fractions"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
    fn the_election_durations_are_ordered() {
        assert_eq!(election(15, 10, 2).check(), Ok(()));
        assert!(election(10, 10, 2).check().unwrap_err().contains("lease-duration"));
        assert!(election(15, 2, 2).check().unwrap_err().contains("renew-deadline"));
        assert_eq!(election(137, 107, 30).check(), Ok(()));
        assert!(election(137, 107, 31).check().unwrap_err().contains("at most 30s"));
    }
}
