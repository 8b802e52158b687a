//! One term: from the acquired Lease until leadership is lost or the process is stopped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::app::error::Error;
use crate::app::signals;
use crate::app::term_trace::TermTrace;
use crate::election::Election;
use crate::election::Lead;
use crate::election::write_gate::WriteGate;
use crate::metrics::Metrics;

/// How long reconciles may continue after a signal. Shorter than the default grace period of a
/// pod.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long reconciles may take to stop after leadership was lost: no longer than their next await.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);

/// A term of this process.
pub struct Term {
    /// The election that was won.
    pub election: Arc<Election>,
    /// The permission to write that came with it.
    pub lead: Lead,
    /// Opened once the leader record is published and the leader has settled.
    pub gate: WriteGate,
    /// Set to true once the leader record is published.
    pub published: watch::Sender<bool>,
    /// True once the process should stop.
    pub stop: watch::Receiver<bool>,
}

// === impl Term ===

impl Term {
    /// Publishes the leader record, settles, opens the write gate and runs `controller`, which
    /// must end after `stop`. Renews the Lease throughout, and releases it at the end, unless a
    /// write may still take effect.
    ///
    /// # Errors
    /// Leadership was lost, or `controller` ended before `stop`.
    pub async fn run(
        self,
        holder: &str,
        metrics: &Metrics,
        controller: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        metrics.leadership.set_leading(true);
        metrics.leadership.set_term_start(Timestamp::now().as_duration().as_secs_f64());
        let mut trace = TermTrace::begin(holder);
        let result = self.lead_and_release(controller, &mut trace).await;
        trace.end(&result);
        metrics.leadership.set_leading(false);
        result
    }

    async fn lead_and_release(
        self,
        controller: impl Future<Output = ()> + Send + 'static,
        trace: &mut TermTrace,
    ) -> Result<(), Error> {
        let (election, lead) = (Arc::clone(&self.election), self.lead.clone());
        let released = match self.lead_until_drained(controller, trace).await? {
            None => election.step_down(&lead).await,
            // A standby that finds the Lease released assumes that nothing is written any more.
            Some(reason) => Err(reason.to_owned()),
        };
        match released {
            Ok(()) => tracing::info!("released the Lease"),
            Err(error) => tracing::warn!(
                error,
                "did not release the Lease; a standby acquires it after it has expired"
            ),
        }
        Ok(())
    }

    /// Leads until `stop`, then until the writes in flight have ended. Returns why the Lease must
    /// not be released, if there is a reason.
    async fn lead_until_drained(
        mut self,
        controller: impl Future<Output = ()> + Send + 'static,
        trace: &mut TermTrace,
    ) -> Result<Option<&'static str>, Error> {
        let (election, lead) = (Arc::clone(&self.election), self.lead.clone());
        let mut held = pin!(election.hold(&lead));
        tokio::select! {
            biased;
            () = signals::stopped(&mut self.stop) => {
                return Ok(Some("the leader record was not published yet, so the previous leader \
                                may not know that it was replaced"));
            }
            lost = &mut held => return Err(Error::Lost(lost)),
            term = election.publish_leader_record(&lead).instrument(trace.election()) => {
                trace.published(term.map_err(Error::Lost)?);
            }
        }
        let mut until_lost = pin!(async {
            tokio::select! {
                lost = held => lost,
                lost = election.watch_leader_record(&lead) => lost,
            }
        });
        let mut controller = tokio::spawn(self.settled(controller));
        tokio::select! {
            biased;
            lost = &mut until_lost => {
                cancel(controller).await;
                return Err(Error::Lost(lost));
            }
            () = signals::stopped(&mut self.stop) => {}
            _ = &mut controller => return Err(Error::Controller),
        }
        tracing::info!("stopping: waiting for writes in flight");
        tokio::select! {
            biased;
            lost = until_lost => {
                cancel(controller).await;
                Err(Error::Lost(lost))
            }
            drained = tokio::time::timeout(DRAIN_TIMEOUT, &mut controller) => {
                let may_write = drained.is_err() || self.gate.has_unanswered_writes();
                let of_crashed = "a write of the crashed leader may still take effect";
                let of_crashed = lead.late_writes().map(|_| of_crashed);
                Ok(may_write.then_some("a write without response may still take effect").or(of_crashed))
            }
        }
    }

    /// Runs `controller` after settling, with the write gate open.
    fn settled<Controller>(
        &self,
        controller: Controller,
    ) -> impl Future<Output = ()> + Send + use<Controller>
    where
        Controller: Future<Output = ()> + Send + 'static,
    {
        let (election, lead) = (Arc::clone(&self.election), self.lead.clone());
        let (gate, published) = (self.gate.clone(), self.published.clone());
        async move {
            published.send_replace(true);
            election.settle().await;
            gate.open(lead);
            controller.await;
        }
    }
}

/// Stops the reconciles, so that their traces end before the export does.
async fn cancel(controller: JoinHandle<()>) {
    controller.abort();
    // Whether or not it stops in time, the process ends.
    let _ = tokio::time::timeout(CANCEL_TIMEOUT, controller).await;
}
