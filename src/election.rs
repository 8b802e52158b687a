//! Who leads, and until when.
//!
//! Flow: a standby polls the Lease until it wins it and gets a [`Lead`]; the leader renews until
//! it loses the Lease or its own deadline passes; on shutdown it steps down.
//!
//! Guarantees: a [`Lead`] is given only if the Lease came back with our own holder identity, and
//! it lasts no longer than the renew deadline from *before* the call that renewed it, on the
//! boot-time clock. Assumption: lease duration > renew deadline > retry period.
//!
//! Caveat: `kube-leader-election` reads and then patches without a resourceVersion, and judges
//! expiry by the wall clock of the machine that wrote the Lease.

pub mod clock;
mod identity;
mod lead;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use tokio::time::sleep;
use tokio::time::timeout;

pub use identity::HolderIdentity;
pub use lead::Lead;
pub use lead::NotLeading;

use crate::access::rule;
use crate::election::clock::boot_time;
use crate::health::Health;
use crate::names;
use crate::telemetry::describe;

/// Part of [`Health`] that tells whether the Lease can be reached.
pub const HEALTH_PART: &str = "lease";

/// How long one call for the Lease may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The deadline is looked at no less often than this, whatever a call is waiting for.
const DEADLINE_CHECK: Duration = Duration::from_millis(250);

/// How leadership is contended for; client-go's terms.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who we are.
    pub holder: HolderIdentity,
    /// How long a standby waits after the last renewal before it takes over.
    pub lease_duration: Duration,
    /// How long the leader goes on after its last renewal.
    pub renew_deadline: Duration,
    /// How often the Lease is polled.
    pub retry_period: Duration,
}

/// Why leadership ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else holds the Lease.
    To(String),
    /// The Lease could not be renewed in time.
    Deadline,
}

/// One candidate for leadership.
pub struct Election {
    settings: Settings,
    lock: LeaseLock,
    health: Arc<Health>,
}

/// What one call for the Lease came to.
enum Answer {
    Ours,
    Held(String),
    Failed(String),
}

// === impl Lost ===

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(holder) => write!(f, "the Lease is held by {holder}"),
            Self::Deadline => f.write_str("the Lease could not be renewed in time"),
        }
    }
}

// === impl Election ===

impl Election {
    /// A candidate that calls for the Lease by `client`, which should be its own: calls for the
    /// Lease must never wait behind others.
    #[must_use]
    pub fn new(client: Client, settings: Settings, health: Arc<Health>) -> Self {
        let params = LeaseLockParams {
            lease_name: settings.lease_name.clone(),
            holder_id: settings.holder.to_string(),
            lease_ttl: settings.lease_duration,
        };
        let lock = LeaseLock::new(client, &settings.namespace, params);
        Self { settings, lock, health }
    }

    /// Waits until we lead. An API server that cannot be reached is waited for, not died of.
    pub async fn win(&self) -> Lead {
        let mut held_by = None;
        loop {
            let asked_at = boot_time();
            match self.ask().await {
                Answer::Ours => {
                    self.note_reached();
                    tracing::info!(holder = %self.settings.holder, "leading");
                    return Lead::until(asked_at + self.settings.renew_deadline);
                }
                Answer::Held(holder) => {
                    self.note_reached();
                    if held_by.as_ref() != Some(&holder) {
                        tracing::info!(%holder, "standing by: the Lease is held");
                        held_by = Some(holder);
                    }
                }
                Answer::Failed(why) => self.note_failure(&why),
            }
            sleep(self.settings.retry_period).await;
        }
    }

    /// Renews the Lease for as long as it can, and tells why it ended. Never returns while
    /// `lead` lasts, unless somebody else holds the Lease.
    pub async fn hold(&self, lead: &Lead) -> Lost {
        let lost = tokio::select! {
            lost = self.renew(lead) => lost,
            () = deadline(lead) => Lost::Deadline,
        };
        lead.end();
        lost
    }

    /// Gives the Lease back, so that a standby need not wait for it to expire.
    ///
    /// # Errors
    /// What stood in the way; the Lease then expires by itself.
    pub async fn step_down(&self, lead: &Lead) -> Result<(), String> {
        lead.end();
        let attempt = || async {
            match timeout(CALL_TIMEOUT, self.lock.step_down()).await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {CALL_TIMEOUT:?}")),
            }
        };
        match attempt().await {
            Ok(()) => Ok(()),
            Err(_) => attempt().await,
        }
    }

    async fn renew(&self, lead: &Lead) -> Lost {
        loop {
            sleep(self.settings.retry_period).await;
            let asked_at = boot_time();
            match self.ask().await {
                Answer::Ours => {
                    self.note_reached();
                    lead.extend(asked_at + self.settings.renew_deadline);
                }
                Answer::Held(holder) => return Lost::To(holder),
                Answer::Failed(why) => self.note_failure(&why),
            }
        }
    }

    async fn ask(&self) -> Answer {
        self.health.beat();
        match timeout(CALL_TIMEOUT, self.lock.try_acquire_or_renew()).await {
            Err(_) => Answer::Failed(format!("no answer within {CALL_TIMEOUT:?}")),
            Ok(Err(error)) => Answer::Failed(describe(&error)),
            Ok(Ok(LeaseLockResult::NotAcquired(lease))) => Answer::Held(holder_of(&lease)),
            Ok(Ok(LeaseLockResult::Acquired(lease))) => {
                let holder = holder_of(&lease);
                if holder == self.settings.holder.as_str() {
                    Answer::Ours
                } else {
                    Answer::Held(holder)
                }
            }
        }
    }

    fn note_reached(&self) {
        self.health.set(HEALTH_PART, Ok(()));
    }

    fn note_failure(&self, why: &str) {
        let Settings { namespace, lease_name, .. } = &self.settings;
        if self.health.set(HEALTH_PART, Err(why.to_owned())) {
            tracing::warn!(
                error = why,
                "cannot get or renew Lease {namespace}/{lease_name}; trying again until it works"
            );
        }
    }
}

async fn deadline(lead: &Lead) {
    while let Ok(remaining) = lead.remaining() {
        sleep(remaining.min(DEADLINE_CHECK)).await;
    }
}

fn holder_of(lease: &Lease) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

/// What the election needs in the operator's own namespace. RBAC cannot limit `create` to a name.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let leases = |verbs| rule("coordination.k8s.io", "leases", verbs);
    let ours = PolicyRule {
        resource_names: Some(vec![names::CONFIGMAPSYNC.to_owned()]),
        ..leases(&["get", "patch"])
    };
    vec![ours, leases(&["create"])]
}
