//! A stretch of time, from the audit log's and the system's point of view.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use harness::audit_queries::is_about_leadership;
use harness::audit_queries::requests_by_operator;
use k8s_openapi::jiff::Timestamp;
use testbed::audit::Event;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::LONG;
use crate::calls::Calls;
use crate::measured::Measured;
use crate::process_usage::Usage;

/// What was asked of the API server in a stretch of time, and what the operator used.
pub struct Stretch {
    /// Every request, whoever sent it.
    pub events: Vec<Event>,
    before: Usage,
    after: Usage,
    took: Option<(u32, Duration)>,
}

impl BenchCluster {
    /// Does `work`, waits until the operator is at rest again, and tells what has happened.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, Stretch)> {
        let mark = self.audit().mark().await?;
        let before = self.operator()?.usage()?;
        let done = work.await?;
        self.wait_rest().await?;
        let after = self.operator()?.usage()?;
        Ok((done, Stretch { events: self.audit().since(mark).await?, before, after, took: None }))
    }

    /// Starts the operator anew, waits until `series` of it is at `count` and it is at rest, and
    /// tells what has happened since it was started.
    pub async fn started(&mut self, series: &str, count: u32) -> Result<Stretch> {
        self.stop_operator().await?;
        let mark = self.audit().mark().await?;
        let began = Instant::now();
        self.start_operator_only().await?;
        self.operator()?.wait_metric(series, count.into(), LONG).await?;
        let took = Some((count, began.elapsed()));
        self.wait_rest().await?;
        let (before, after) = (Usage::default(), self.operator()?.usage()?);
        Ok(Stretch { events: self.audit().since(mark).await?, before, after, took })
    }
}

// === impl Stretch ===

impl Stretch {
    /// The operator's requests, those for leases left out.
    pub fn requests_by_operator(&self) -> impl Iterator<Item = &Event> {
        requests_by_operator(&self.events).filter(|event| !is_about_leadership(event))
    }

    /// The operator's requests, counted.
    pub fn calls(&self) -> Calls {
        Calls::of(self.requests_by_operator())
    }

    /// What it has cost.
    pub fn measured(&self) -> Measured {
        let measured = Measured {
            calls: self.calls(),
            cpu: self.after.cpu - self.before.cpu,
            rss: self.after.rss,
            peak: self.after.peak,
            ..Measured::default()
        };
        match self.took {
            Some((count, wall)) => measured.took(count, wall),
            None => measured,
        }
    }

    /// When the last of the operator's requests with this verb for this resource was answered.
    pub fn last(&self, verb: &str, resource: &str) -> Option<Timestamp> {
        let fits = |event: &&Event| event.verb == verb && event.resource() == resource;
        self.requests_by_operator().filter(fits).map(|event| event.stage_timestamp.0).max()
    }

    /// When the harness was answered its request with this verb for this resource: what follows
    /// is the operator's doing.
    pub fn asked(&self, verb: &str, resource: &str, name: &str) -> Option<Timestamp> {
        let fits = |event: &&Event| {
            event.user.username == "admin"
                && event.verb == verb
                && event.resource() == resource
                && event.name() == name
        };
        self.events.iter().filter(fits).map(|event| event.stage_timestamp.0).min()
    }
}
