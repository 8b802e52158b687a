//! The requests and the operator's resource use over a period.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use harness::audit_queries::is_about_leadership;
use harness::audit_queries::requests_by_operator;
use k8s_openapi::jiff::Timestamp;
use testbed::audit::Event;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::LONG;
use crate::measurement::Measurement;
use crate::process_usage::Usage;
use crate::request_counts::RequestCounts;

/// The requests in a period, and the operator's resource use before and after it.
pub struct Observation {
    /// All requests, of any user.
    pub events: Vec<Event>,
    before: Usage,
    after: Usage,
    took: Option<(u32, Duration)>,
}

impl BenchCluster {
    /// Runs `work`, waits until the operator is idle again, and returns the observation of that period.
    pub async fn observe<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Observation)> {
        let mark = self.audit().mark().await?;
        let before = self.operator()?.usage()?;
        let done = work.await?;
        self.wait_idle().await?;
        let after = self.operator()?.usage()?;
        Ok((
            done,
            Observation { events: self.audit().since(mark).await?, before, after, took: None },
        ))
    }

    /// Starts the operator again, waits until its metric `series` is at least `count` and it is idle, and
    /// returns the observation since its start.
    pub async fn restart_until(&mut self, series: &str, count: u32) -> Result<Observation> {
        let work = async |cluster: &Self, start: Instant| {
            let operator = cluster.operator()?;
            operator.wait_leading().await?;
            operator.wait_metric(series, count.into(), LONG).await?;
            Ok((count, start.elapsed()))
        };
        let (took, observation) = self.observe_restart(work).await?;
        Ok(Observation { took: Some(took), ..observation })
    }

    /// Starts the operator again, runs `work`, which gets the time of the start, and waits until the
    /// operator is idle. Returns the observation since its start.
    pub async fn observe_restart<T>(
        &mut self,
        work: impl AsyncFnOnce(&Self, Instant) -> Result<T>,
    ) -> Result<(T, Observation)> {
        self.stop_operator().await?;
        let mark = self.audit().mark().await?;
        let start = Instant::now();
        let operator = self.launch_operator().await?;
        self.replace_operator(operator);
        let done = work(self, start).await?;
        self.wait_idle().await?;
        let (before, after) = (Usage::default(), self.operator()?.usage()?);
        let events = self.audit().since(mark).await?;
        Ok((done, Observation { events, before, after, took: None }))
    }
}

// === impl Observation ===

impl Observation {
    /// The operator's requests, without those of leader election.
    pub fn requests_by_operator(&self) -> impl Iterator<Item = &Event> {
        requests_by_operator(&self.events).filter(|event| !is_about_leadership(event))
    }

    /// The number of the operator's requests.
    pub fn calls(&self) -> RequestCounts {
        RequestCounts::of(self.requests_by_operator())
    }

    /// The measurement of the period.
    pub fn measured(&self) -> Measurement {
        let measured = Measurement {
            calls: self.calls(),
            cpu: self.after.cpu - self.before.cpu,
            rss: self.after.rss,
            peak: self.after.peak,
            ..Measurement::default()
        };
        match self.took {
            Some((count, wall)) => measured.took(count, wall),
            None => measured,
        }
    }

    /// The time at which the API server received the operator's first request with this verb.
    pub fn first_request_time(&self, verb: &str) -> Option<Timestamp> {
        let requests = self.requests_by_operator().filter(|event| event.verb == verb);
        requests.map(|event| event.request_received_timestamp.0).min()
    }

    /// The time of the response to the operator's last request with this verb and resource.
    pub fn last_response_time(&self, verb: &str, resource: &str) -> Option<Timestamp> {
        let fits = |event: &&Event| event.verb == verb && event.resource() == resource;
        self.requests_by_operator().filter(fits).map(|event| event.stage_timestamp.0).max()
    }

    /// The time of the response to the bench's own first request with this verb, resource and name: the
    /// operator reacts to it.
    pub fn user_response_time(&self, verb: &str, resource: &str, name: &str) -> Option<Timestamp> {
        let fits = |event: &&Event| {
            event.user.username == "admin"
                && event.verb == verb
                && event.resource() == resource
                && event.name() == name
        };
        self.events.iter().filter(fits).map(|event| event.stage_timestamp.0).min()
    }
}
