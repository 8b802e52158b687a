//! The Lease, as `kube-leader-election` handles it under the guard.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Stored;
use kube::Client;
use kube::core::Status;
use kube_leader_election::Error;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::election::Settings;
use crate::election::clock::boot_time;
use crate::election::identity::HolderIdentity;
use crate::election::lease_guard::layer::LeaseGuard;
use crate::metrics::LeaseFailure;
use crate::telemetry::describe;

/// How long one call for the Lease may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The Lease that is contended for.
pub struct Lease {
    /// One call at a time: the guard lets one write follow one read.
    lock: Mutex<LeaseLock>,
    guard: LeaseGuard,
    holder: HolderIdentity,
}

/// What one call for the Lease came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is ours, from now on or still.
    Ours,
    /// Somebody else holds it.
    Held(String),
    /// It changed between our look and our write: nothing was written.
    Changed,
    /// Nobody knows.
    Failed(LeaseFailure, String),
}

// === impl Lease ===

impl Lease {
    /// The Lease that `settings` name, called for by `client`.
    #[must_use]
    pub fn new(client: Client, settings: &Settings) -> Self {
        let (name, ours) = (&settings.lease_name, settings.lease_duration);
        let guard = LeaseGuard::new(name, ours, CALL_TIMEOUT, Arc::new(boot_time));
        let params = LeaseLockParams {
            lease_name: name.clone(),
            holder_id: settings.holder.to_string(),
            lease_ttl: ours,
        };
        let lock = LeaseLock::new(guard.client(client), &settings.namespace, params);
        Self { lock: Mutex::new(lock), guard, holder: settings.holder.clone() }
    }

    /// Takes the Lease if it is free, or renews it if it is ours.
    pub async fn ask(&self) -> Answer {
        let lock = self.lock.lock().await;
        match timeout(CALL_TIMEOUT, lock.try_acquire_or_renew()).await {
            Err(_) => Answer::Failed(LeaseFailure::Timeout, no_answer()),
            Ok(Err(error)) => failed(&error),
            Ok(Ok(LeaseLockResult::NotAcquired(lease))) => Answer::Held(holder_of(&lease)),
            Ok(Ok(LeaseLockResult::Acquired(lease))) => {
                let holder = holder_of(&lease);
                if holder == self.holder.as_str() { Answer::Ours } else { Answer::Held(holder) }
            }
        }
    }

    /// From now on we lead: the Lease may be renewed or lost, but not taken anew.
    pub fn leads(&self) {
        self.guard.leads();
    }

    /// Whether the leader before us gave it back, and so writes no more.
    #[must_use]
    pub fn was_released(&self) -> bool {
        self.guard.was_released()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// It was not ours, or changed meanwhile, or nobody answered.
    pub async fn give_back(&self) -> Result<(), Answer> {
        let lock = self.lock.lock().await;
        match timeout(CALL_TIMEOUT, lock.step_down()).await {
            Err(_) => Err(Answer::Failed(LeaseFailure::Timeout, no_answer())),
            Ok(Err(Error::ReleaseLockWhenNotLeading { leader })) => Err(Answer::Held(leader)),
            Ok(Err(error)) => Err(failed(&error)),
            Ok(Ok(())) => Ok(()),
        }
    }
}

/// Why a call has come to nothing, when its time was over.
pub fn no_answer() -> String {
    format!("no answer within {CALL_TIMEOUT:?}")
}

fn failed(error: &Error) -> Answer {
    match status(error) {
        Some(status) if status.code == 409 => Answer::Changed,
        Some(status) if matches!(status.code, 401 | 403) => {
            Answer::Failed(LeaseFailure::Forbidden, explain(status))
        }
        Some(status) => Answer::Failed(LeaseFailure::Refused, explain(status)),
        None => Answer::Failed(LeaseFailure::Unavailable, describe(error)),
    }
}

fn explain(status: &Status) -> String {
    if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() }
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

fn holder_of(lease: &Stored) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> Answer {
        let status = Status { code, message: "said so".into(), ..Status::failure("", "") };
        failed(&Error::RenewLease(kube::Error::Api(status.boxed())))
    }

    #[test]
    fn each_failure_is_told_from_the_others() {
        let said = || "said so".to_owned();
        assert_eq!(refused(409), Answer::Changed);
        assert_eq!(refused(403), Answer::Failed(LeaseFailure::Forbidden, said()));
        assert_eq!(refused(500), Answer::Failed(LeaseFailure::Refused, said()));
        let nobody = failed(&Error::TraverseLease { key: "spec".into() });
        assert!(matches!(nobody, Answer::Failed(LeaseFailure::Unavailable, _)));
    }
}
