//! Metrics of the leader election and the fence.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strum::VariantArray as _;

use crate::names;

/// Why a call for the Lease failed: the label `reason` of `configmapsync_lease_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LeaseFailure {
    /// The operator lacks a permission (HTTP 401 or 403).
    Forbidden,
    /// The API server refused for another reason.
    Refused,
    /// No response within the timeout.
    Timeout,
    /// The API server was unreachable, or its response was not usable.
    Unavailable,
}

/// Result of the last test of the fence, the policy that admits writes of copies only from the pod
/// in the leader record: the label `state` of `configmapsync_fence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FenceState {
    /// The fence refused this standby: pods that do not lead cannot write.
    Enforced,
    /// This standby was admitted: the policy, its kind or the leader record is missing.
    Absent,
    /// This leader was admitted, as it must be. Nothing is known about standbys.
    Admitted,
    /// The fence refused this leader: the leader record names another pod.
    Refused,
    /// Not tested yet, or the last test failed for another reason.
    Unknown,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

const LEASE: NameLabel = NameLabel { name: names::LEASE_NAME };

/// Metrics of the leader election and the fence.
#[derive(Debug)]
pub struct LeadershipMetrics {
    leading: Family<NameLabel, Gauge>,
    lease_failures: Family<ReasonLabel, Counter>,
    term: Gauge,
    term_start: Gauge<f64, AtomicU64>,
    fence: Family<StateLabel, Gauge>,
}

// === impl LeadershipMetrics ===

impl LeadershipMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            leading: Family::default(),
            lease_failures: Family::default(),
            term: Gauge::default(),
            term_start: Gauge::default(),
            fence: Family::default(),
        };
        registry.register(
            "leader_election_master_status",
            "Whether this process leads: 1 or 0",
            metrics.leading.clone(),
        );
        registry.register(
            "configmapsync_lease_failures",
            "Failed calls for the Lease by reason",
            metrics.lease_failures.clone(),
        );
        registry.register(
            "configmapsync_leader_term",
            "Term in the leader record that this process published",
            metrics.term.clone(),
        );
        registry.register(
            "configmapsync_term_start_time_seconds",
            "Unix time at which this process became leader",
            metrics.term_start.clone(),
        );
        registry.register(
            "configmapsync_fence",
            "Whether the API server refuses writes of pods that do not lead, by the last test: 1 \
             for the present state",
            metrics.fence.clone(),
        );
        drop(metrics.leading.get_or_create(&LEASE));
        for &failure in LeaseFailure::VARIANTS {
            drop(metrics.lease_failures.get_or_create(&ReasonLabel { reason: failure.into() }));
        }
        metrics.set_fence(FenceState::Unknown);
        metrics
    }

    /// Whether this process leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.get_or_create(&LEASE).set(i64::from(leading));
    }

    /// A call for the Lease failed.
    pub fn count_lease_failure(&self, failure: LeaseFailure) {
        self.lease_failures.get_or_create(&ReasonLabel { reason: failure.into() }).inc();
    }

    /// This process published the leader record for `term`.
    pub fn set_term(&self, term: i64) {
        self.term.set(term);
    }

    /// This process became leader at this Unix time.
    pub fn set_term_start(&self, unix_seconds: f64) {
        self.term_start.set(unix_seconds);
    }

    /// The last test of the fence resulted in `state`.
    pub fn set_fence(&self, state: FenceState) {
        for &other in FenceState::VARIANTS {
            let label = StateLabel { state: other.into() };
            self.fence.get_or_create(&label).set(i64::from(other == state));
        }
    }
}
