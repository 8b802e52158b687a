//! Sends the writes of a plan in parallel, and waits a limited time for the responses.
//!
//! One slow namespace must not keep a reconcile from ending: nothing else happens for its sync
//! meanwhile. Writes without a response continue in the background.

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

/// How long to wait for the next response.
const PATIENCE: Duration = Duration::from_secs(1);

/// What happened at a destination.
#[derive(Clone, Debug)]
pub enum DestinationOutcome {
    Answered(Answered),
    /// The write was sent; there is no response yet.
    InFlight,
}

/// The writes in flight.
#[derive(Default)]
pub struct Late {
    answers: FuturesUnordered<BoxFuture<'static, (NamespacedName, Answer)>>,
}

/// `None`: the task that sent the write has failed.
type Answer = Option<Result<Answered, NotLeading>>;

/// Sends the `planned` writes. Waits for all responses, but at most a second for the next one.
/// Returns what happened at each destination, and the writes in flight.
///
/// Fair: permits are acquired one by one, so that a sync waits in the queue for permits once,
/// however many copies it has.
///
/// Fails if this process no longer leads, or is stopping. Writes that were sent continue.
pub async fn send_all(
    writer: &Arc<Writer>,
    lead: &Lead,
    planned: impl Iterator<Item = Write>,
) -> Result<(BTreeMap<NamespacedName, DestinationOutcome>, Late), NotLeading> {
    let mut results = BTreeMap::new();
    let mut late = Late::default();
    for write in planned {
        let permit = writer.permits.acquire().await?;
        let (writer, lead, at) = (Arc::clone(writer), lead.clone(), write.at.clone());
        results.insert(at.clone(), DestinationOutcome::InFlight);
        let task = async move {
            let _permit = permit;
            writer.write(&lead, &write).await
        };
        // A separate task, which continues when this future ends.
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
                tracing::info!(
                    writes = late.answers.len(),
                    "writes without a response continue in the background"
                );
                return Ok((results, late));
            }
        }
    }
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
}
