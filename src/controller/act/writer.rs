//! Sends one write of a copy, under a live `Lead`.
//!
//! Creates are POSTs, updates are JSON patches that carry the resourceVersion they were decided
//! on, deletes carry preconditions. The metadata in each response goes into the cache at once, and the
//! digest of the content if an admission plugin has changed it.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use kube::Client;
use tokio::time::sleep;
use tracing::Instrument as _;
use tracing::Span;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::cache::Origin;
use crate::cache::Reader;
use crate::controller::act::write::Answered;
use crate::controller::act::write::Write;
use crate::controller::act::write::WriteResult;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::contention::Response;
use crate::decide::drift::ConfigMapMetadata;
use crate::decide::observed::Version;
use crate::decide::plan::NewCopy;
use crate::decide::stamp::Stamp;
use crate::election::Lead;
use crate::election::LeaderRecord;
use crate::kubernetes::bodies;
use crate::kubernetes::calls;
use crate::kubernetes::cancellation::Cancellation;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::memory::MemoryBudget;
use crate::kubernetes::memory::OutOfMemory;
use crate::kubernetes::memory::Reservation;
use crate::kubernetes::permits::Permits;
use crate::kubernetes::requests;
use crate::metrics::Metrics;
use crate::telemetry;
use crate::telemetry::spans;
use crate::telemetry::spans::SpanReference;
use crate::telemetry::spans::fail;

/// How long an API server may take to receive a leader record.
const MAX_RECORD_LAG: Duration = Duration::from_secs(5);
const FENCE_RETRY_PERIOD: Duration = Duration::from_millis(250);

/// Sends writes of copies.
pub struct Writer {
    pub client: Client,
    pub cache: Arc<Cache>,
    pub reader: Arc<Reader>,
    pub leader_record: Arc<LeaderRecord>,
    pub permits: Permits,
    /// For the bodies of writes in flight that are not small.
    pub bodies: MemoryBudget,
    pub reads: Cancellation,
    pub metrics: Arc<Metrics>,
}

/// The resourceVersion of the copy, if the response contains one.
type Sent = Result<Option<String>, CallError>;

// === impl Writer ===

impl Writer {
    /// Memory for the body of a write of `content` for a sync in `namespace`; `None` if it is small.
    ///
    /// Reserved before the permit of the write: a write that waits for memory must not hold one, or it
    /// would hold up those that need no memory.
    pub async fn memory_for(
        &self,
        namespace: &str,
        content: Option<&Content>,
    ) -> Result<Option<Reservation>, OutOfMemory> {
        let bytes = content.map_or(0, bodies::estimated_size);
        if bytes <= bodies::SMALL {
            return Ok(None);
        }
        self.bodies.reserve(namespace, bytes).await.map(Some)
    }

    /// Sends one write, for which the caller holds a permit. After a conflict, reads the copy into
    /// the cache. Fails if this process no longer leads.
    ///
    /// The span of the write is a child of `parent`, and may end after it.
    pub async fn write(
        &self,
        lead: &Lead,
        write: &Write,
        parent: &SpanReference,
    ) -> Result<Answered, NotLeading> {
        let Write { sync, at, action, purpose, attempt, .. } = write;
        let verb = action.verb();
        let span = tracing::info_span!(
            parent: None,
            telemetry::WRITE_SPAN,
            otel.name = format!("{verb} copy"),
            sync,
            destination = %at,
            attempt = i64::from(*attempt),
            resource_version = tracing::field::Empty,
        );
        parent.adopt(&span);
        // Before it is sent: a failure does not apply to a later namespace of the same name.
        let namespace_uid = self.cache.namespace(&at.namespace).1;
        let metadata_bytes = match self.cache.config_map(at) {
            CachedConfigMap::Present(copy) => copy.metadata_bytes,
            CachedConfigMap::Absent | CachedConfigMap::Unknown => 0,
        };
        let sent = self.send_past_fence(lead, at, action).instrument(span.clone()).await?;
        self.metrics.copies.count_write(verb, sent.is_ok());
        let result = match sent {
            Ok(resource_version) => {
                if let Some(version) = resource_version {
                    span.record("resource_version", version);
                }
                span.in_scope(|| tracing::info!(destination = %at, action = verb, "copy written"));
                WriteResult::Written
            }
            Err(CallError::Conflict(refusal)) => {
                let reading = self.reader.refresh(at).instrument(span.clone());
                match self.reads.unless_cancelled(reading).await? {
                    Ok(found) if action.is_decided_on(found.as_ref()) => {
                        log_failure(&span, at, verb, &refusal);
                        WriteResult::Failed(refusal)
                    }
                    read => {
                        let (response, what) = match action {
                            Action::Create(_) => {
                                (Response::AlreadyExists, "the ConfigMap exists already")
                            }
                            _ => (Response::Conflict, "the copy was changed meanwhile"),
                        };
                        span.in_scope(|| spans::event(what, 1));
                        WriteResult::Conflict { response, unread: read.err() }
                    }
                }
            }
            Err(CallError::NotLeading(error)) => return Err(error),
            Err(CallError::Failed(failure) | CallError::Fenced(failure)) => {
                log_failure(&span, at, verb, &failure);
                if failure.is_invalid() && matches!(action, Action::Update { .. }) {
                    // A policy may have made the copy immutable, which its metadata does not show.
                    // The write has failed whether or not this read succeeds.
                    let reading = self.reader.compare(at).instrument(span.clone());
                    drop(self.reads.unless_cancelled(reading).await?);
                }
                WriteResult::Failed(failure)
            }
        };
        let purpose = purpose.clone();
        Ok(Answered { namespace_uid, metadata_bytes, purpose, at: Instant::now(), result })
    }

    /// Sends, and again for a while if the fence rejects it although this process leads: the API
    /// server may not have received our leader record yet. If the record was replaced, this
    /// process no longer leads.
    async fn send_past_fence(
        &self,
        lead: &Lead,
        at: &NamespacedName,
        action: &Action,
    ) -> Result<Sent, NotLeading> {
        let began = Instant::now();
        loop {
            let sent = self.send(lead, at, action).await?;
            if !matches!(sent, Err(CallError::Fenced(_))) {
                return Ok(sent);
            }
            self.leader_record.verify(lead).await;
            lead.remaining()?;
            if began.elapsed() >= MAX_RECORD_LAG {
                return Ok(sent);
            }
            sleep(FENCE_RETRY_PERIOD).await;
        }
    }

    async fn send(
        &self,
        lead: &Lead,
        at: &NamespacedName,
        action: &Action,
    ) -> Result<Sent, NotLeading> {
        lead.remaining()?;
        Ok(match action {
            Action::Create(copy) => self.post(at, copy).await,
            Action::Update { seen, stamp, content } => self.update(at, seen, stamp, content).await,
            Action::Restamp { seen, stamp } | Action::Release { seen, stamp } => {
                let patched = calls::patch(&self.client, at, requests::restamp(seen, stamp)).await;
                patched.map(|patched| {
                    self.cache.record_patch(&patched, seen, None);
                    patched.resource_version
                })
            }
            Action::Delete { seen } => self.delete(at, seen).await,
            Action::Replace { seen, copy } => match self.delete(at, seen).await {
                Ok(_) => {
                    lead.remaining()?;
                    self.post(at, copy).await
                }
                failed => failed,
            },
            Action::Keep | Action::Leave(_) => Ok(None),
        })
    }

    async fn post(&self, at: &NamespacedName, copy: &NewCopy) -> Sent {
        let (created, stored) = calls::post(&self.client, at, copy).await?;
        self.cache.apply_config_map(&created, Origin::Write);
        self.record_altered(at, &created, &copy.content, &stored);
        Ok(created.resource_version)
    }

    /// Records the content that is stored if an admission plugin has changed the data that was sent:
    /// the managed fields do not show that.
    fn record_altered(
        &self,
        at: &NamespacedName,
        metadata: &ConfigMapMetadata,
        sent: &Content,
        stored: &Content,
    ) {
        if !stored.has_same_data(sent) {
            self.cache.record_content(at, &Version::of(metadata), stored.digest());
        }
    }

    async fn update(
        &self,
        at: &NamespacedName,
        seen: &Version,
        stamp: &Stamp,
        content: &Content,
    ) -> Sent {
        let (patched, stored) = calls::update(&self.client, at, seen, stamp, content).await?;
        self.cache.record_patch(&patched, seen, Some(content));
        self.record_altered(at, &patched, content, &stored);
        Ok(patched.resource_version)
    }

    async fn delete(&self, at: &NamespacedName, seen: &Version) -> Sent {
        match calls::delete(&self.client, at, seen).await? {
            Some(left) => self.cache.apply_config_map(&left, Origin::Write),
            None => self.cache.remove_config_map(at, Some(&seen.uid), Origin::Write),
        };
        Ok(None)
    }
}

fn log_failure(span: &Span, at: &NamespacedName, verb: &str, failure: &ApiFailure) {
    let reason = failure.failure.reason;
    fail(span, reason.as_str(), &failure.failure.message);
    span.in_scope(|| {
        tracing::warn!(
            destination = %at,
            action = verb,
            %reason,
            error = failure.failure.message,
            "copy not written; will retry"
        );
    });
}
