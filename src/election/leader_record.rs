//! The leader record: the `ConfigMapSyncLeader` object that the fence compares callers with.
//!
//! Flow: a new leader publishes the record before its first write, then reads it periodically and
//! stops leading if it names another process.
//!
//! Guarantees: the record is replaced only by a process that renewed the Lease after it had read
//! the record, and only if the record has not changed since. So if two processes believe that they
//! lead, the record ends up naming the one that held the Lease last.

mod object;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::sleep;

use crate::election::lead::Lead;
use crate::election::lease::Lease;
use crate::election::lost::Lost;
use crate::election::settings::Settings;
use crate::health::Health;
use crate::metrics::Metrics;

pub use object::access;

use object::Found;
use object::LeaderObject;
use object::Replaced;

/// Name in [`Health`] under which a record that cannot be published is reported.
const HEALTH_PART: &str = "leader record";
/// How often a leader reads the record.
const CHECK_PERIOD: Duration = Duration::from_secs(30);

/// The leader record, as one process publishes and verifies it.
pub struct LeaderRecord {
    object: LeaderObject,
    retry_period: Duration,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

// === impl LeaderRecord ===

impl LeaderRecord {
    /// The record beside the Lease that is named in `settings`, called through `client`.
    #[must_use]
    pub fn new(
        client: Client,
        settings: &Settings,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let object = LeaderObject::new(client, settings);
        Self { object, retry_period: settings.retry_period, health, metrics }
    }

    /// Whether the API server responds that the record does not exist, and that it knows the kind.
    pub async fn is_missing(&self) -> bool {
        self.object.read().await == Found::Missing
    }

    /// Whether the record names `holder`, another process: it published the record. False also if the
    /// record cannot be read.
    pub async fn names(&self, holder: &str) -> bool {
        matches!(self.object.read().await, Found::Other(other) if other.holder == holder)
    }

    /// Makes the record name this process, and returns the term. Retries until it succeeds, and
    /// renews `lease` once per attempt. Returns `None`, with a warning, where this cluster has no
    /// leader records: the leader then continues without the fence.
    ///
    /// # Errors
    /// Leadership is lost. A process that created the Lease because there was no record has lost it if
    /// there is one now: another process leads, and its Lease was deleted.
    pub async fn publish(&self, lease: &Lease, lead: &Lead) -> Result<Option<i64>, Lost> {
        loop {
            let before = match self.object.read().await {
                Found::Ours(term) => return Ok(Some(self.published(term))),
                Found::Unusable(why) => {
                    self.report_unusable(&why);
                    return Ok(None);
                }
                Found::Other(other) if lease.is_first() => {
                    return Err(Lost::RecordNames(other.holder));
                }
                Found::Other(other) => Some(Some(other)),
                Found::Missing => Some(None),
                Found::Failed(why) => {
                    self.report_failure(&why);
                    None
                }
            };
            // Between read and replace: see the guarantees of this module.
            let is_ours = lease.renew(lead).await?;
            if let (true, Some(before)) = (is_ours, before) {
                match self.object.replace(before.as_ref()).await {
                    Replaced::Done(term) => return Ok(Some(self.published(term))),
                    Replaced::Conflict => continue,
                    Replaced::Failed(why) => self.report_failure(&why),
                }
            }
            sleep(self.retry_period).await;
        }
    }

    /// Reads the record every 30 s, publishes it again if it is missing, and returns once it names
    /// another process or the Lease is lost. `lead` has then ended.
    pub async fn watch(&self, lease: &Lease, lead: &Lead) -> Lost {
        let lost = loop {
            sleep(CHECK_PERIOD).await;
            match self.object.read().await {
                Found::Other(other) => break Lost::RecordNames(other.holder),
                Found::Missing => {
                    let record = self.object.path();
                    tracing::warn!("ConfigMapSyncLeader {record} is missing; creating it again");
                    if let Err(lost) = self.publish(lease, lead).await {
                        break lost;
                    }
                }
                Found::Ours(_) | Found::Unusable(_) | Found::Failed(_) => {}
            }
        };
        lead.end();
        lost
    }

    /// Reads the record once, and ends `lead` if it names another process. For a write that the
    /// fence refused.
    pub async fn verify(&self, lead: &Lead) {
        if let Found::Other(other) = self.object.read().await {
            lead.end_because(Lost::RecordNames(other.holder));
        }
    }

    fn published(&self, term: i64) -> i64 {
        self.health.set(HEALTH_PART, Ok(()));
        self.metrics.leadership.set_term(term);
        tracing::info!(term, "published the leader record");
        term
    }

    fn report_unusable(&self, why: &str) {
        self.health.set(HEALTH_PART, Ok(()));
        tracing::warn!(
            error = why,
            "cannot publish the leader record ConfigMapSyncLeader {}; leading without it: the API \
             server cannot refuse writes of a previous leader that does not know yet that it was \
             replaced",
            self.object.path()
        );
    }

    fn report_failure(&self, why: &str) {
        if self.health.set(HEALTH_PART, Err(why.to_owned())) {
            tracing::warn!(
                error = why,
                "cannot publish the leader record ConfigMapSyncLeader {}; retrying every {:?}: \
                 nothing is written before it is published",
                self.object.path(),
                self.retry_period
            );
        }
    }
}
