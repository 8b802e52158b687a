//! The process of the leader is killed in its pod, under load: the kubelet reports how its container
//! ended, and another process leads without waiting until the Lease has expired.
//!
//! By default 6 times, and within 10 seconds, because other tests run in parallel. With `E2E_FULL=1` 50
//! times, and within 3 seconds in the median and 5 in the 99th percentile. The kubelet delays the restarts
//! of a container more and more, so that the Deployment starts anew after every 6.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::load::Load;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::one_writer;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use testbed::audit::Event;
use testbed::helm::RELEASE;
use testbed::pod_process;
use testbed::scale::quick_or_full;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::helm_cluster::HelmCluster;

/// Kills between two starts of the Deployment.
const KILLS: usize = 6;
/// Sources with one copy each.
const SOURCES: usize = 3;
/// Pause between two edits: the precision of the measurement.
const PAUSE: Duration = Duration::from_millis(20);
/// The deadline for a takeover, far above the bounds.
const TAKEN_OVER: Duration = Duration::from_mins(1);
/// Less than the Lease takes to expire, 15 seconds after its last renewal, which is at most 2 old.
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);

/// Kills the leader of three replicas repeatedly, then that of a single replica.
pub async fn kill_leaders() -> Result<()> {
    let cluster = HelmCluster::start().await?;
    cluster.install(&[("replicaCount", "3")]).await?;
    let recorder = Recorder::start(cluster.fixture().client()).await?;
    let mark = cluster.audit().mark().await?;
    let load = Load::start(cluster.fixture(), SOURCES, PAUSE).await?;

    let mut gaps = Vec::new();
    let kills = quick_or_full(KILLS, 50);
    for number in 0..kills {
        if number > 0 && number % KILLS == 0 {
            start_anew(&cluster, "3", number).await?;
        }
        gaps.push(kill_leader(&cluster).await?);
        cluster.wait_ready().await?;
    }
    start_anew(&cluster, "1", kills).await?;
    let single = kill_leader(&cluster).await?;

    load.stop(TAKEN_OVER).await?;
    let history = recorder.history().await?;
    let events = cluster.audit().since(mark).await?;
    let violations = one_writer::violations(&history, &oracle::writes(&history, &events));
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    ensure_prompt(&mut gaps, single)
}

/// Starts new pods, whose containers have not been restarted, and waits until one of them leads.
async fn start_anew(cluster: &HelmCluster, replicas: &'static str, round: usize) -> Result<()> {
    let round = format!("r{round}");
    cluster.install(&[("replicaCount", replicas), ("podAnnotations.round", &round)]).await?;
    let mark = cluster.audit().mark().await?;
    until("a copy is written", TAKEN_OVER, || async {
        let events = cluster.audit().since(mark).await?;
        Ok(Seen::from_bool(writes(&events).next().is_some(), || "none is".to_owned()))
    })
    .await
}

/// Kills the process of the leader. Returns for how long no copy was written: from its last write to the
/// first one of the next leader.
async fn kill_leader(cluster: &HelmCluster) -> Result<Duration> {
    let mark = cluster.audit().mark().await?;
    until("the leader writes a copy", TAKEN_OVER, || async {
        let events = cluster.audit().since(mark).await?;
        Ok(Seen::from_bool(writes(&events).next().is_some(), || "it does not".to_owned()))
    })
    .await?;
    let leases = Api::<Lease>::namespaced(cluster.fixture().client(), RELEASE);
    let lease = leases.get(RELEASE).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).context("the Lease is free")?;
    let (_, uid) = holder.rsplit_once('_').context("the holder names no pod")?;
    pod_process::kill("configmapsync", ("POD_UID", uid))?;
    let gap = until("the next leader writes a copy", TAKEN_OVER, || async {
        let events = cluster.audit().since(mark).await?;
        Ok(Seen::from_option(gap(&events, &holder), || format!("{} requests", events.len())))
    })
    .await?;
    eprintln!("{:.2} s without a write", gap.as_secs_f32());
    Ok(gap)
}

/// The time between the last write of the leader `holder` and the first one of another.
fn gap(events: &[Event], holder: &str) -> Option<Duration> {
    let next = events.iter().find(|event| {
        let sent = event.request_object.as_ref();
        let leader = sent.and_then(|it| it["spec"]["holder"].as_str());
        event.resource() == "configmapsyncleaders"
            && event.succeeded()
            && leader.is_some_and(|it| it != holder)
    })?;
    let began = next.stage_timestamp.0;
    let times = |is_before: bool| {
        let times = writes(events).map(|it| it.stage_timestamp.0);
        times.filter(move |at: &Timestamp| (*at < began) == is_before)
    };
    let (last, first) = (times(true).max()?, times(false).min()?);
    Some(first.duration_since(last).unsigned_abs())
}

/// The successful writes of copies.
fn writes(events: &[Event]) -> impl Iterator<Item = &Event> {
    let writes = writes_by_operator(events).into_iter();
    writes.filter(|it| it.resource() == "configmaps" && it.succeeded())
}

fn ensure_prompt(gaps: &mut [Duration], single: Duration) -> Result<()> {
    gaps.sort();
    // By nearest rank.
    let at = |percent: usize| gaps[(gaps.len() * percent).div_ceil(100) - 1];
    let (median, p99, longest) = (at(50), at(99), at(100));
    let count = gaps.len();
    println!(
        "{count} kills of the leader of three: {median:.2?} without a write in the median, \
         {p99:.2?} in the 99th percentile, at most {longest:.2?}; of one replica: {single:.2?}"
    );
    let full = (Duration::from_secs(3), Duration::from_secs(5));
    let (usual, rare) = quick_or_full((BEFORE_EXPIRY, BEFORE_EXPIRY), full);
    ensure!(median <= usual, "{median:?} without a write in the median: {gaps:?}");
    ensure!(p99 <= rare, "{p99:?} without a write in the 99th percentile: {gaps:?}");
    ensure!(single <= rare, "{single:?} without a write of a single replica");
    Ok(())
}
