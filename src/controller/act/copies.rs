//! Sends the writes of a plan in parallel, and waits a limited time for the responses.
//!
//! One slow namespace must not keep a reconcile from ending: nothing else happens for its sync
//! meanwhile. Writes without a response continue in the background, and writes for which a slow
//! namespace has no permit are left to a later reconcile, for which a permit is reserved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::write::Answered;
use crate::controller::act::write::Write;
use crate::controller::act::writer::Writer;
use crate::decide::Action;
use crate::decide::observed::ObservedSync;
use crate::election::Lead;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::memory::Reservation;
use crate::kubernetes::permits::Permit;
use crate::telemetry::spans;
use crate::telemetry::spans::SpanReference;

/// How long to wait for the next response.
const PATIENCE: Duration = Duration::from_secs(1);

/// What happened at a destination.
#[derive(Clone, Debug)]
pub enum DestinationOutcome {
    Answered(Answered),
    /// The write was sent; there is no response yet.
    InFlight,
    /// The write was not sent: its namespace is slow, and holds its share of the permits.
    Waiting,
}

/// The writes in flight, and those that wait for a permit.
#[derive(Default)]
pub struct Late {
    answers: FuturesUnordered<BoxFuture<'static, (NamespacedName, Answer)>>,
}

/// `None`: the task that sent the write has failed, a permit is reserved for the write, or its
/// permission is too old, so that it must be decided again.
type Answer = Option<Result<Answered, NotLeading>>;

/// Sends the `planned` writes, each made by `write`. Waits for all responses, but at most a second
/// for the next one. Returns what happened at each destination, and the writes in flight.
///
/// Fair: permits are acquired one by one, so that a sync waits in the queue for permits once,
/// however many copies it has.
///
/// Fails if this process no longer leads, or is stopping. Writes that were sent continue.
pub async fn send_all<'a>(
    writer: &Arc<Writer>,
    lead: &Lead,
    sync: &ObservedSync,
    planned: impl Iterator<Item = (&'a NamespacedName, &'a Action)>,
    write: impl Fn(&NamespacedName, &Action) -> Write,
) -> Result<(BTreeMap<NamespacedName, DestinationOutcome>, Late), NotLeading> {
    let (namespace, sync_uid) = (&sync.name.namespace, &sync.version.uid);
    let mut results = BTreeMap::new();
    let mut late = Late::default();
    let mut pending = BTreeMap::<&str, Vec<_>>::new();
    let mut content = None;
    for (at, action) in planned {
        content = content.or(action.content());
        pending.entry(&at.namespace).or_default().push((at, action));
    }
    while !pending.is_empty() {
        let reserved = writer.memory_for(namespace, content.map(AsRef::as_ref));
        let span = || tracing::info_span!("wait for memory for a large write");
        let Ok(memory) = spans::waiting(span, reserved).await else { break };
        let namespaces = pending.keys().copied();
        let acquired = writer.permits.acquire(sync_uid, namespaces);
        let span = || tracing::info_span!("wait for a write permit");
        let Some(permit) = spans::waiting(span, acquired).await? else { break };
        let (namespace, mut steps) = pending.remove_entry(permit.namespace()).unwrap_or_default();
        if steps.is_empty() {
            continue;
        }
        let (at, action) = steps.remove(0);
        if !steps.is_empty() {
            pending.insert(namespace, steps);
        }
        results.insert(at.clone(), DestinationOutcome::InFlight);
        let memory = memory.filter(|_| action.content().is_some());
        late.send(writer, lead, (permit, memory), write(at, action));
    }
    late.answer(&mut results).await?;
    for (at, _) in pending.into_values().flatten() {
        results.insert(at.clone(), DestinationOutcome::Waiting);
        late.reserve(writer, sync_uid, at.clone());
    }
    Ok((results, late))
}

// === impl Late ===

impl Late {
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Waits for the next response; `None` after the last one. The response itself is `None` if
    /// the write was not sent.
    pub async fn next(&mut self) -> Option<(NamespacedName, Option<Answered>)> {
        let (at, answer) = self.answers.next().await?;
        Some((at, answer.and_then(Result::ok)))
    }

    /// Moves the responses into `results`, until all are there or the next one takes too long.
    async fn answer(
        &mut self,
        results: &mut BTreeMap<NamespacedName, DestinationOutcome>,
    ) -> Result<(), NotLeading> {
        loop {
            match timeout(PATIENCE, self.answers.next()).await {
                Ok(Some((at, Some(answer)))) => {
                    results.insert(at, DestinationOutcome::Answered(answer?));
                }
                Ok(Some((at, None))) => {
                    results.remove(&at);
                }
                Ok(None) => return Ok(()),
                Err(_) => {
                    let writes = self.answers.len();
                    tracing::info!(writes, "writes without a response continue in the background");
                    spans::event("writes without a response continue", writes);
                    return Ok(());
                }
            }
        }
    }

    /// Sends a write in a separate task, which continues when the reconcile ends.
    fn send(
        &mut self,
        writer: &Arc<Writer>,
        lead: &Lead,
        held: (Permit, Option<Reservation>),
        write: Write,
    ) {
        let (writer, lead, at) = (Arc::clone(writer), lead.clone(), write.at.clone());
        let reconcile = SpanReference::current();
        let task = tokio::spawn(async move {
            let _held = held;
            if write.latest_start.is_some_and(|latest| latest <= Instant::now()) {
                return None;
            }
            Some(writer.write(&lead, &write, &reconcile).await)
        });
        self.answers.push(async move { (at, task.await.ok().flatten()) }.boxed());
    }

    /// Waits for a permit for the next reconcile of the sync.
    fn reserve(&mut self, writer: &Arc<Writer>, sync_uid: &str, at: NamespacedName) {
        let (permits, sync_uid) = (writer.permits.clone(), sync_uid.to_owned());
        let reserved = async move {
            permits.reserve(&sync_uid, &at.namespace).await;
            (at, None)
        };
        self.answers.push(reserved.boxed());
    }
}
