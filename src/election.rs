//! Who leads, and until when.
//!
//! Flow: a standby polls the Lease, and looks at once when it is given back, until it wins it and
//! gets a [`Lead`]; it announces itself, and settles; the leader renews until it loses the Lease or
//! its own deadline passes; on shutdown it steps down.
//!
//! Guarantees: a [`Lead`] is given only if the Lease came back with our own holder identity, and
//! it lasts no longer than the renew deadline from *before* the call that renewed it, on the
//! boot-time clock. Assumption: lease duration > renew deadline > retry period.
//!
//! `kube-leader-election` reads and then patches without a resourceVersion, and judges expiry by
//! the wall clock of the machine that wrote the Lease: [`lease_guard`] keeps it from both.

mod announce;
mod announcement;
pub mod clock;
pub mod fence_probe;
mod identity;
mod lead;
mod lease;
pub mod lease_guard;
mod standby;
pub mod write_gate;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio::time::timeout;

pub use announcement::Announcement;
pub use identity::HolderIdentity;
pub use lead::Lead;

use crate::access::rule;
use crate::election::clock::boot_time;
use crate::election::lease::Answer;
use crate::election::lease::Lease;
use crate::health::Health;
use crate::metrics::LeaseFailure;
use crate::metrics::Metrics;
use crate::names;

/// Part of [`Health`] that tells whether the Lease can be reached.
pub const HEALTH_PART: &str = "lease";

/// How long a new leader waits after it took over from one that may not know yet.
const SETTLE: Duration = Duration::from_secs(1);
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
    /// uid of our pod, by which the API server knows us.
    pub pod_uid: String,
    /// How long a standby waits after the last renewal before it takes over.
    pub lease_duration: Duration,
    /// How long the leader goes on after its last renewal.
    pub renew_deadline: Duration,
    /// How often the Lease is polled.
    pub retry_period: Duration,
}

/// The connections that an election uses.
#[derive(Clone)]
pub struct Clients {
    /// For the Lease: its own, since calls for it must never wait behind others.
    pub lease: Client,
    /// For a standby's watch, which may stay silent for minutes.
    pub watches: Client,
}

/// Why leadership ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else holds the Lease.
    To(String),
    /// Somebody else is announced as the leader.
    ToAnnounced(String),
    /// The Lease could not be renewed in time.
    Deadline,
}

/// One candidate for leadership.
pub struct Election {
    settings: Settings,
    lease: Lease,
    announcement: Arc<Announcement>,
    watches: Client,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

// === impl Lost ===

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(holder) => write!(f, "the Lease is held by {holder}"),
            Self::ToAnnounced(holder) => write!(f, "{holder} is announced as the leader"),
            Self::Deadline => f.write_str("the Lease could not be renewed in time"),
        }
    }
}

// === impl Election ===

impl Election {
    /// A candidate that calls by `clients`.
    #[must_use]
    pub fn new(
        clients: Clients,
        settings: Settings,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let announcement = Arc::new(Announcement::new(clients.lease.clone(), &settings));
        let lease = Lease::new(clients.lease, &settings);
        Self { settings, lease, announcement, watches: clients.watches, health, metrics }
    }

    /// The announcement, for whoever the fence refuses.
    #[must_use]
    pub fn announcement(&self) -> Arc<Announcement> {
        Arc::clone(&self.announcement)
    }

    /// Waits until we lead. An API server that cannot be reached is waited for, not died of.
    pub async fn win(&self) -> Lead {
        let Settings { namespace, lease_name, retry_period, .. } = &self.settings;
        let freed = Notify::new();
        let client = self.watches.clone();
        let watching = standby::watch(client, namespace, lease_name, *retry_period, &freed);
        tokio::select! {
            lead = self.campaign(&freed) => lead,
            never = watching => match never {},
        }
    }

    async fn campaign(&self, freed: &Notify) -> Lead {
        let mut held_by = None;
        loop {
            let asked_at = boot_time();
            match self.ask().await {
                Answer::Ours => {
                    self.lease.leads();
                    tracing::info!(holder = %self.settings.holder, "leading");
                    return Lead::until(asked_at + self.settings.renew_deadline);
                }
                Answer::Held(holder) => {
                    if held_by.as_ref() != Some(&holder) {
                        tracing::info!(%holder, "standing by: the Lease is held");
                        held_by = Some(holder);
                    }
                }
                Answer::Changed | Answer::Failed(..) => {}
            }
            // Either way it is time to look.
            let _ = timeout(self.settings.retry_period, freed.notified()).await;
        }
    }

    /// Waits until a leader that did not give the Lease back has had time to notice.
    pub async fn settle(&self) {
        if !self.lease.was_released() {
            sleep(SETTLE).await;
        }
    }

    /// Renews the Lease for as long as it can, and tells why it ended. Never returns while
    /// `lead` lasts, unless somebody else holds the Lease.
    pub async fn hold(&self, lead: &Lead) -> Lost {
        let lost = tokio::select! {
            lost = self.renew(lead) => lost,
            () = deadline(lead) => lead.why_it_ended(),
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
        let mut result = self.lease.give_back().await;
        if result == Err(Answer::Changed) {
            result = self.lease.give_back().await;
        }
        result.map_err(|answer| match answer {
            Answer::Held(holder) => Lost::To(holder).to_string(),
            Answer::Failed(_, why) => why,
            Answer::Changed | Answer::Ours => "it keeps changing".to_owned(),
        })
    }

    async fn renew(&self, lead: &Lead) -> Lost {
        loop {
            sleep(self.settings.retry_period).await;
            if let Err(lost) = self.confirm(lead).await {
                return lost;
            }
        }
    }

    async fn ask(&self) -> Answer {
        self.health.beat();
        let answer = self.lease.ask().await;
        match &answer {
            Answer::Failed(failure, why) => self.note_failure(*failure, why),
            Answer::Ours | Answer::Held(_) | Answer::Changed => {
                self.health.set(HEALTH_PART, Ok(()));
            }
        }
        answer
    }

    fn note_failure(&self, failure: LeaseFailure, why: &str) {
        self.metrics.lease_failed(failure);
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

/// What the election needs in the operator's own namespace. RBAC cannot limit `create` to a name.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let leases = |verbs| rule("coordination.k8s.io", "leases", verbs);
    let ours = PolicyRule {
        resource_names: Some(vec![names::LEASE_NAME.to_owned()]),
        ..leases(&["get", "patch", "watch"])
    };
    [vec![ours, leases(&["create"])], announcement::access()].concat()
}
