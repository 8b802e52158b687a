//! Sends the writes of a plan, side by side, and waits for their answers, but not for ever: one
//! namespace that answers late must not keep a round from ending, since nothing else is done for
//! its sync meanwhile. What is left in flight is noted, stands for its place until it is answered,
//! and then wakes the sync.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::Context;
use crate::controller::act::Errand;
use crate::controller::act::permit;
use crate::controller::act::write;
use crate::decide::Action;
use crate::decide::Plan;
use crate::decide::observed::ObservedSync;
use crate::election::Lead;
use crate::kubernetes::error::NotLeading;

/// How long a round waits while none of its writes is answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends the writes of `plan`; how many copies were written by the time it returns.
///
/// Fair: a sync asks for the permits of its writes one by one, so that it waits in line once,
/// however many copies it has.
///
/// # Errors
/// We no longer lead, or are about to stop.
pub async fn send_all(
    context: &Arc<Context>,
    lead: &Lead,
    sync: &ObservedSync,
    plan: &Plan,
) -> Result<usize, NotLeading> {
    let mut answers = FuturesUnordered::new();
    for (at, action) in plan.steps.iter().filter(|(_, action)| action.is_write()) {
        let permit = permit(context).await?;
        let errand = Errand::of(sync, plan, action);
        let write = InFlight::begin(context, sync, errand, at);
        answers.push(spawn(write, permit, lead.clone(), action.clone()));
    }
    let mut written = 0;
    loop {
        match timeout(PATIENCE, answers.next()).await {
            Ok(Some(answer)) => written += usize::from(answer?),
            Ok(None) => return Ok(written),
            Err(_) => {
                tracing::info!(writes = answers.len(), "not waiting for what answers late");
                return Ok(written);
            }
        }
    }
}

/// A write that is under way. Dropped, it is noted as ended.
struct InFlight {
    context: Arc<Context>,
    sync: NamespacedName,
    errand: Errand,
    at: NamespacedName,
}

// === impl InFlight ===

impl InFlight {
    fn begin(
        context: &Arc<Context>,
        sync: &ObservedSync,
        errand: Errand,
        at: &NamespacedName,
    ) -> Self {
        context.memory.write_begins(&errand.sync_uid, at);
        Self { context: Arc::clone(context), sync: sync.name.clone(), errand, at: at.clone() }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.context.memory.write_ends(&self.errand.sync_uid, &self.at);
    }
}

/// Sends a write that ends even if nobody waits for it any more.
fn spawn(
    in_flight: InFlight,
    permit: OwnedSemaphorePermit,
    lead: Lead,
    action: Action,
) -> impl Future<Output = Result<bool, NotLeading>> {
    let (answer, answered) = oneshot::channel();
    let task = async move {
        let (context, sync) = (Arc::clone(&in_flight.context), in_flight.sync.clone());
        let result = write(&context, &lead, &in_flight.errand, &in_flight.at, &action).await;
        // Before the answer is told: whoever hears of it may look at once.
        drop((in_flight, permit));
        if answer.send(result).is_err() {
            context.wake([sync]);
        }
    };
    tokio::spawn(task.in_current_span());
    async move { answered.await.unwrap_or(Ok(false)) }
}
