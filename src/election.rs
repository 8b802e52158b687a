//! Leader election: which process leads, and until when.
//!
//! Flow: a standby polls the Lease, watches it for a release and the pod of its holder for a crash,
//! until it acquires the Lease and gets a [`Lead`]. It publishes the leader record, and settles: it
//! waits for writes of the previous leader to end. It renews the Lease until another process holds it
//! or the renew deadline passes. On shutdown it releases the Lease.
//!
//! Guarantees: a [`Lead`] is created only after a response with our own holder identity. It is
//! valid until the renew deadline, counted on the boot-time clock from *before* the call that
//! renewed the Lease. A Lease that another process holds is acquired after it has expired, or at once with
//! proof that this process has ended: then its last writes may still take effect, and the [`Lead`]
//! says [for how long](Lead::late_writes).
//!
//! Assumption: lease duration > renew deadline > retry period.
//!
//! `kube-leader-election` patches the Lease without a resourceVersion and compares its times with
//! the local wall clock. [`lease_guard`] prevents both.

pub mod clock;
mod ended_holder;
pub mod fence_probe;
mod identity;
mod lead;
mod leader_record;
mod lease;
pub mod lease_guard;
mod lost;
mod settings;
mod standby;
pub mod termination_message;
pub mod write_gate;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;

pub use identity::HolderIdentity;
pub use lead::Lead;
pub use leader_record::LeaderRecord;
pub use lease::HEALTH_PART;
pub use lost::Lost;
pub use settings::Clients;
pub use settings::Settings;

use crate::election::clock::boot_time;
use crate::election::ended_holder::EndedHolders;
use crate::election::identity::HolderPod;
use crate::election::lease::Lease;
use crate::election::lease::LeaseOutcome;
use crate::election::standby::Wake;
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a new leader waits if the previous leader may not know yet that it was replaced.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a write of a crashed leader may take effect: the longest time that the API server works on
/// it, and the time until it arrives.
const LATE_WRITES: Duration = Duration::from_secs(2).saturating_add(write_gate::WRITE_TIMEOUT);
/// How often the deadline is checked, at least, while a call waits for a response.
const DEADLINE_CHECK: Duration = Duration::from_millis(250);

/// One candidate for leadership.
pub struct Election {
    settings: Settings,
    lease: Lease,
    record: Arc<LeaderRecord>,
    holders: EndedHolders,
    watches: Client,
}

/// The holder that a candidate has found.
#[derive(Default)]
struct KnownHolder {
    identity: Option<String>,
    /// Whether it has ended.
    has_ended: bool,
}

// === impl Election ===

impl Election {
    /// A candidate. Sends no request yet.
    #[must_use]
    pub fn new(
        clients: Clients,
        settings: Settings,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (client, watches) = (clients.lease, clients.watches);
        let record =
            LeaderRecord::new(client.clone(), &settings, Arc::clone(&health), Arc::clone(&metrics));
        let holders = EndedHolders::new(client.clone(), &settings.namespace);
        let lease = Lease::new(client, settings.clone(), health, metrics);
        Self { settings, lease, record: Arc::new(record), holders, watches }
    }

    /// The leader record, to verify it when the fence refuses a write.
    #[must_use]
    pub fn leader_record(&self) -> Arc<LeaderRecord> {
        Arc::clone(&self.record)
    }

    /// Waits until this process acquires the Lease. Retries while the API server is unreachable.
    pub async fn win(&self) -> Lead {
        let Settings { namespace, lease_name, retry_period, .. } = &self.settings;
        let (wake, pod) = (Wake::default(), watch::Sender::new(None));
        let clients = || self.watches.clone();
        let lease = standby::watch_lease(clients(), namespace, lease_name, *retry_period, &wake);
        let holder =
            standby::watch_pod(clients(), namespace, pod.subscribe(), *retry_period, &wake);
        tokio::select! {
            lead = self.campaign(&wake, &pod) => lead,
            never = lease => match never {},
            never = holder => match never {},
        }
    }

    async fn campaign(&self, wake: &Wake, pod: &watch::Sender<Option<String>>) -> Lead {
        let mut known = KnownHolder::default();
        loop {
            let (mut started, mut outcome) = self.attempt().await;
            if let LeaseOutcome::HeldBy(holder) = &outcome
                && self.check_holder(holder, &mut known, wake, pod).await
            {
                self.lease.set_holder_ended(holder);
                started = boot_time();
                outcome = self.lease.acquire_or_renew().await;
            }
            if outcome == LeaseOutcome::Ours {
                return self.lead_from(started);
            }
            // Ends early if the Lease is released, or the pod of its holder has changed.
            wake.wait(self.settings.retry_period).await;
        }
    }

    fn lead_from(&self, started: Duration) -> Lead {
        self.lease.set_leading();
        tracing::info!(holder = %self.settings.holder, "leading");
        let lead = Lead::until(started + self.settings.renew_deadline);
        if self.lease.has_holder_ended() {
            return lead.with_late_writes_until(boot_time() + LATE_WRITES);
        }
        lead
    }

    /// Whether there is proof that `holder` has ended, and was the only leader: it published the leader
    /// record. Otherwise an earlier leader may not know yet that a user deleted its Lease.
    ///
    /// Reads the pod if the holder is new, the pod has changed, or the last read was proof. Has the
    /// pod watched.
    async fn check_holder(
        &self,
        holder: &str,
        known: &mut KnownHolder,
        wake: &Wake,
        pod: &watch::Sender<Option<String>>,
    ) -> bool {
        let has_pod_changed = wake.take_pod_changed();
        let is_new = known.identity.as_deref() != Some(holder);
        if is_new {
            tracing::info!(%holder, "standby: waiting for the Lease");
            pod.send_replace(HolderPod::of(holder).map(|it| it.name));
            *known = KnownHolder { identity: Some(holder.to_owned()), has_ended: false };
        }
        if is_new || has_pod_changed || known.has_ended {
            let had_ended = known.has_ended;
            known.has_ended =
                self.holders.has_ended(holder).await && self.record.names(holder).await;
            if known.has_ended && !had_ended {
                tracing::info!(%holder, "the process that holds the Lease has ended; acquiring it");
            }
        }
        known.has_ended
    }

    /// Tries to acquire the Lease once, and returns when the try began. If neither the Lease nor the
    /// leader record has ever existed, there is no leader to wait for.
    async fn attempt(&self) -> (Duration, LeaseOutcome) {
        let started = boot_time();
        let outcome = self.lease.acquire_or_renew().await;
        let is_missing =
            matches!(outcome, LeaseOutcome::HeldBy(_)) && self.lease.has_never_existed();
        if !is_missing || !self.record.is_missing().await {
            return (started, outcome);
        }
        self.lease.set_first_candidate();
        let started = boot_time();
        (started, self.lease.acquire_or_renew().await)
    }

    /// Publishes the leader record, which must precede the first write of a term. May take
    /// arbitrarily long: [`Election::hold`] must run at the same time. Returns the term, or `None`
    /// where the cluster has no leader records.
    ///
    /// # Errors
    /// Leadership is lost.
    pub async fn publish_leader_record(&self, lead: &Lead) -> Result<Option<i64>, Lost> {
        self.record.publish(&self.lease, lead).await
    }

    /// Verifies the leader record periodically, and returns once `lead` has ended because the
    /// record names another process or the Lease is lost.
    pub async fn watch_leader_record(&self, lead: &Lead) -> Lost {
        self.record.watch(&self.lease, lead).await
    }

    /// Waits until the previous leader must have stopped writing. Returns at once if that leader
    /// released the Lease.
    pub async fn settle(&self) {
        if !self.lease.was_released() {
            sleep(SETTLE).await;
        }
    }

    /// Renews the Lease until leadership is lost, and returns why. `lead` has then ended.
    pub async fn hold(&self, lead: &Lead) -> Lost {
        let lost = tokio::select! {
            lost = self.renew(lead) => lost,
            () = deadline(lead) => lead.lost(),
        };
        lead.end();
        lost
    }

    async fn renew(&self, lead: &Lead) -> Lost {
        loop {
            sleep(self.settings.retry_period).await;
            if let Err(lost) = self.lease.renew(lead).await {
                return lost;
            }
        }
    }

    /// Ends `lead` and releases the Lease, so that a standby can acquire it before it expires.
    ///
    /// # Errors
    /// Why the Lease was not released; it then expires.
    pub async fn step_down(&self, lead: &Lead) -> Result<(), String> {
        lead.end();
        self.lease.release().await
    }
}

async fn deadline(lead: &Lead) {
    while let Ok(remaining) = lead.remaining() {
        sleep(remaining.min(DEADLINE_CHECK)).await;
    }
}

/// Permissions of the election, in the operator's namespace.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    [lease::access(), leader_record::access(), ended_holder::access()].concat()
}
