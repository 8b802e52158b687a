//! Sends the writes of a plan side by side, and waits for their answers for a limited time.
//!
//! One namespace that answers slowly must not keep a reconcile from ending, since nothing else
//! happens for its sync meanwhile. Writes that are not answered in time continue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::write::Answered;
use crate::controller::act::write::Write;
use crate::controller::act::writer::Writer;
use crate::election::Lead;
use crate::kubernetes::error::NotLeading;

/// How long to wait while no write is answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// What happened at a destination.
#[derive(Clone, Debug)]
pub enum DestinationOutcome {
    /// The write was answered.
    Answered(Answered),
    /// The write was sent and is not answered yet.
    InFlight,
}

/// The writes in flight.
pub struct Late {
    answers: FuturesUnordered<BoxFuture<'static, (NamespacedName, Answer)>>,
}

/// `None`: the task that sent the write has failed.
type Answer = Option<Result<Answered, NotLeading>>;

/// Sends the `planned` writes, and waits until all are answered, or until none has been for a second. Returns
/// what happened at each destination, and the writes in flight.
///
/// Fair: the permits are acquired one by one, so that a sync has one place in the line of waiting
/// syncs, however many copies it has.
///
/// # Errors
/// This process no longer leads, or is stopping. Writes that were sent continue.
pub async fn send_all(
    writer: &Arc<Writer>,
    lead: &Lead,
    planned: impl Iterator<Item = Write>,
) -> Result<(BTreeMap<NamespacedName, DestinationOutcome>, Late), NotLeading> {
    let mut results = BTreeMap::new();
    let mut late = Late { answers: FuturesUnordered::new() };
    for write in planned {
        let permit = writer.permits.acquire().await?;
        let (writer, lead, at) = (Arc::clone(writer), lead.clone(), write.at.clone());
        results.insert(at.clone(), DestinationOutcome::InFlight);
        let task = async move {
            let _permit = permit;
            writer.write(&lead, &write).await
        };
        // A task of its own, so that it continues without this future.
        let task = tokio::spawn(task.in_current_span());
        late.answers.push(async move { (at, task.await.ok()) }.boxed());
    }
    loop {
        match timeout(PATIENCE, late.answers.next()).await {
            Ok(Some((at, Some(answer)))) => {
                results.insert(at, DestinationOutcome::Answered(answer?));
            }
            Ok(Some((at, None))) => {
                results.remove(&at);
            }
            Ok(None) => return Ok((results, late)),
            Err(_) => {
                tracing::info!(writes = late.answers.len(), "not waiting for what answers late");
                return Ok((results, late));
            }
        }
    }
}

// === impl Late ===

impl Late {
    /// No writes.
    #[must_use]
    pub fn none() -> Self {
        Self { answers: FuturesUnordered::new() }
    }

    /// Whether no write is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Waits for the next answer; `None` after the last one. The answer itself is `None` if the
    /// write was not sent.
    pub async fn next(&mut self) -> Option<(NamespacedName, Option<Answered>)> {
        let (at, answer) = self.answers.next().await?;
        Some((at, answer.and_then(Result::ok)))
    }
}
