//! The Lease, acquired, renewed and released by `kube-leader-election` behind the guard.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube::core::Status;
use kube_leader_election::Error;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::access::rule;
use crate::election::clock::boot_time;
use crate::election::lead::Lead;
use crate::election::lease_guard::layer::LeaseGuard;
use crate::election::lost::Lost;
use crate::election::settings::Settings;
use crate::health::Health;
use crate::kubernetes::error::explain_status;
use crate::metrics::LeaseFailure;
use crate::metrics::Metrics;
use crate::names;
use crate::telemetry::describe;

/// Name in [`Health`] under which failed calls for the Lease are reported.
pub const HEALTH_PART: &str = "lease";
/// Timeout of one call for the Lease or the leader record.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// One Lease, and the identity under which this process holds it.
pub struct Lease {
    /// Serializes calls: the guard permits one write after each read.
    lock: Mutex<LeaseLock>,
    guard: LeaseGuard,
    settings: Settings,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Result of an attempt to acquire, renew or release the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// This process holds the Lease.
    Ours,
    /// Another process holds the Lease.
    HeldBy(String),
    /// The Lease changed after it was read: nothing was written.
    Conflict,
    /// The call failed, and its effect is unknown. The text is for the log.
    Failed(LeaseFailure, String),
}

// === impl Lease ===

impl Lease {
    /// The Lease named in `settings`, called through `client`.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (name, lease_ttl) = (&settings.lease_name, settings.lease_duration);
        let guard = LeaseGuard::new(name, lease_ttl, CALL_TIMEOUT, Arc::new(boot_time));
        let holder_id = settings.holder.to_string();
        let params = LeaseLockParams { holder_id, lease_name: name.clone(), lease_ttl };
        let lock = LeaseLock::new(guard.client(client), &settings.namespace, params);
        Self { lock: Mutex::new(lock), guard, settings, health, metrics }
    }

    /// Acquires the Lease if it is free, or renews it if this process holds it. Each call is a
    /// sign of liveness; a failure is counted, logged once, and makes the process unready.
    pub async fn acquire_or_renew(&self) -> LeaseOutcome {
        self.health.beat(HEALTH_PART);
        let outcome = self.call().await;
        match &outcome {
            LeaseOutcome::Failed(failure, why) => self.report_failure(*failure, why),
            LeaseOutcome::Ours | LeaseOutcome::HeldBy(_) | LeaseOutcome::Conflict => {
                self.health.set(HEALTH_PART, Ok(()));
            }
        }
        outcome
    }

    /// Renews the Lease once. If that succeeds, extends `lead` to the renew deadline, counted from
    /// before the call, and returns true. Returns false if it is unknown who holds the Lease.
    ///
    /// # Errors
    /// Another process holds the Lease, or `lead` has ended.
    pub async fn renew(&self, lead: &Lead) -> Result<bool, Lost> {
        let started = boot_time();
        let outcome = self.acquire_or_renew().await;
        if outcome == LeaseOutcome::Ours {
            lead.extend(started + self.settings.renew_deadline);
        }
        match outcome {
            LeaseOutcome::HeldBy(holder) => Err(Lost::LeaseHeldBy(holder)),
            _ if lead.remaining().is_err() => Err(lead.lost()),
            outcome => Ok(outcome == LeaseOutcome::Ours),
        }
    }

    /// Releases the Lease. Retries once after a conflict.
    ///
    /// # Errors
    /// Why it could not be released.
    pub async fn release(&self) -> Result<(), String> {
        let mut outcome = self.step_down().await;
        if outcome == Err(LeaseOutcome::Conflict) {
            outcome = self.step_down().await;
        }
        outcome.map_err(|outcome| match outcome {
            LeaseOutcome::HeldBy(holder) => Lost::LeaseHeldBy(holder).to_string(),
            LeaseOutcome::Failed(_, why) => why,
            LeaseOutcome::Conflict | LeaseOutcome::Ours => {
                "the Lease was changed by another client at the same time".to_owned()
            }
        })
    }

    /// From now on this process leads: the Lease may be renewed or lost, but not acquired again.
    pub fn set_leading(&self) {
        self.guard.set_leading();
    }

    /// The next attempt is that of a candidate that has found no leader record: see
    /// [`LeaseGuard::set_first_candidate`].
    pub fn set_first_candidate(&self) {
        self.guard.set_first_candidate();
    }

    /// There is proof that the process `holder` has ended: see [`LeaseGuard::set_holder_ended`].
    pub fn set_holder_ended(&self, holder: &str) {
        self.guard.set_holder_ended(holder);
    }

    /// Whether the Lease was acquired because its holder has ended: see
    /// [`LeaseGuard::has_holder_ended`].
    #[must_use]
    pub fn has_holder_ended(&self) -> bool {
        self.guard.has_holder_ended()
    }

    /// Whether the Lease has been missing in every response so far.
    #[must_use]
    pub fn has_never_existed(&self) -> bool {
        self.guard.has_never_existed()
    }

    /// Whether this process may have created the Lease without waiting for the lease duration.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.guard.is_first()
    }

    /// Whether the previous leader released the Lease, after which it does not write.
    #[must_use]
    pub fn was_released(&self) -> bool {
        self.guard.was_released()
    }

    async fn call(&self) -> LeaseOutcome {
        let lock = self.lock.lock().await;
        match timeout(CALL_TIMEOUT, lock.try_acquire_or_renew()).await {
            Err(_) => LeaseOutcome::Failed(LeaseFailure::Timeout, timed_out()),
            Ok(Err(error)) => classify(&error),
            Ok(Ok(LeaseLockResult::NotAcquired(lease))) => LeaseOutcome::HeldBy(holder_of(&lease)),
            // The crate does not compare the holder in the response with its own.
            Ok(Ok(LeaseLockResult::Acquired(lease))) => match holder_of(&lease) {
                holder if holder == self.settings.holder.as_str() => LeaseOutcome::Ours,
                holder => LeaseOutcome::HeldBy(holder),
            },
        }
    }

    async fn step_down(&self) -> Result<(), LeaseOutcome> {
        let lock = self.lock.lock().await;
        match timeout(CALL_TIMEOUT, lock.step_down()).await {
            Err(_) => Err(LeaseOutcome::Failed(LeaseFailure::Timeout, timed_out())),
            Ok(Err(Error::ReleaseLockWhenNotLeading { leader })) => {
                Err(LeaseOutcome::HeldBy(leader))
            }
            Ok(Err(error)) => Err(classify(&error)),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn report_failure(&self, failure: LeaseFailure, why: &str) {
        self.metrics.leadership.count_lease_failure(failure);
        let Settings { namespace, lease_name, retry_period, .. } = &self.settings;
        if self.health.set(HEALTH_PART, Err(why.to_owned())) {
            tracing::warn!(
                error = why,
                "cannot acquire or renew Lease {namespace}/{lease_name}; retrying every \
                 {retry_period:?}: check the connection to the API server, and the operator's \
                 permissions on the Lease"
            );
        }
    }
}

/// Why a call failed that got no response within [`CALL_TIMEOUT`].
pub fn timed_out() -> String {
    format!("no response within {CALL_TIMEOUT:?}")
}

fn classify(error: &Error) -> LeaseOutcome {
    match status(error) {
        Some(status) if status.code == 409 => LeaseOutcome::Conflict,
        Some(status) if matches!(status.code, 401 | 403) => {
            LeaseOutcome::Failed(LeaseFailure::Forbidden, explain_status(status))
        }
        Some(status) => LeaseOutcome::Failed(LeaseFailure::Refused, explain_status(status)),
        None => LeaseOutcome::Failed(LeaseFailure::Unavailable, describe(error)),
    }
}

fn status(error: &Error) -> Option<&Status> {
    let error = match error {
        Error::ApiError { response } => return Some(response),
        Error::GetLease(error)
        | Error::CreateLease(error)
        | Error::AcquireLease(error)
        | Error::RenewLease(error)
        | Error::ReleaseLease(error)
        | Error::Kube(error) => error,
        Error::TraverseLease { .. }
        | Error::ReleaseLockWhenNotLeading { .. }
        | Error::SerdeError(_)
        | Error::JiffError(_) => return None,
    };
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

fn holder_of(lease: &LeaseObject) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

/// Permissions on the Lease, in the operator's namespace. RBAC cannot restrict `create` to a name.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let leases = |verbs| rule("coordination.k8s.io", "leases", verbs);
    let named = PolicyRule {
        resource_names: Some(vec![names::LEASE_NAME.to_owned()]),
        ..leases(&["get", "patch", "watch"])
    };
    vec![named, leases(&["create"])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> LeaseOutcome {
        let status = Status { code, message: "message".into(), ..Status::failure("", "") };
        classify(&Error::RenewLease(kube::Error::Api(status.boxed())))
    }

    #[test]
    fn each_kind_of_failure_has_its_own_outcome() {
        let message = || "message".to_owned();
        assert_eq!(refused(409), LeaseOutcome::Conflict);
        assert_eq!(refused(403), LeaseOutcome::Failed(LeaseFailure::Forbidden, message()));
        assert_eq!(refused(500), LeaseOutcome::Failed(LeaseFailure::Refused, message()));
        let unreadable = classify(&Error::TraverseLease { key: "spec".into() });
        assert!(matches!(unreadable, LeaseOutcome::Failed(LeaseFailure::Unavailable, _)));
    }
}
