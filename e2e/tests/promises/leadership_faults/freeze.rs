//! A frozen leader that is resumed too late exits without a write, and its requests in transit are
//! refused. One that is resumed in time keeps leading.
//!
//! `E2E_FULL=1` freezes for a minute, with the default times.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::load::SOURCES;
use harness::replica::Options;
use http::Method;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::leadership_faults::fault_cluster::EXITS;
use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::LEASE;
use crate::leadership_faults::fault_cluster::TAKEOVER;
use crate::support::scale::quick_or_full;

/// The namespace of copies whose writes arrive late.
const LATE: &str = "late";
/// The number of copies whose ConfigMapSync is deleted before their create arrives.
const CREATED: usize = 3;

#[tokio::test]
async fn a_leader_resumed_too_late_exits_and_writes_nothing() -> Result<()> {
    let short = (Options::quick(LEASE), Duration::from_secs(15));
    let (options, frozen) = quick_or_full(short, (Options::default(), Duration::from_mins(1)));
    let mut cluster = FaultCluster::start(3, &options).await?;
    let leader = cluster.leader().await?;
    let pod = cluster.replica(leader).pod().uid.clone();
    let process = cluster.replica(leader).process();
    process.freeze()?;
    let began = Instant::now();
    cluster.wait_takeover(leader, TAKEOVER).await?;
    let rest = frozen.saturating_sub(began.elapsed());
    stays("the former leader is frozen", rest, || async { Ok(Seen::Done(())) }).await?;
    let mark = cluster.operator.audit().mark().await?;
    process.thaw()?;
    cluster.wait_failed(leader, EXITS).await?;
    let outcome = cluster.finish_without_violations().await?;
    ensure!(outcome.handover()?.from == pod);
    let resumed = cluster.operator.audit().since(mark).await?;
    let written = resumed.iter().filter(|it| it.pod_uid() == pod && it.is_write());
    let written: Vec<_> = written.filter(|it| it.succeeded()).collect();
    ensure!(written.is_empty(), "{}", testbed::audit::lines(&written));
    Ok(())
}

#[tokio::test]
async fn a_leader_resumed_in_time_keeps_leading() -> Result<()> {
    let mut cluster = FaultCluster::start(3, &Options::patient()).await?;
    let leader = cluster.leader().await?;
    let process = cluster.replica(leader).process();
    process.freeze()?;
    let three = Duration::from_secs(3);
    stays("the same replica leads", three, || async {
        let now = cluster.leader().await?;
        Ok(Seen::from_bool(now == leader, || format!("replica {now} leads instead of {leader}")))
    })
    .await?;
    process.thaw()?;
    let outcome = cluster.finish_without_violations().await?;
    outcome.ensure_no_transition()?;
    for replica in 0..3 {
        cluster.ensure_running(replica)?;
    }
    Ok(())
}

#[tokio::test]
async fn late_requests_of_a_frozen_leader_are_refused() -> Result<()> {
    let mut cluster = FaultCluster::start(2, &short_sweep_period()).await?;
    cluster.operator.wait_fenced(true).await?;
    let late = deliver_late(&mut cluster).await?;
    let responses: Vec<_> = late.iter().map(|it| (it.method.clone(), it.status)).collect();
    for (method, status) in &responses {
        let refused = match *method {
            // Only the fence can refuse a create.
            Method::POST => *status == Some(403),
            // The object has another version, or is gone.
            _ => [Some(403), Some(404), Some(409)].contains(status),
        };
        ensure!(refused, "{responses:?}");
    }
    cluster.finish_without_violations().await?;
    Ok(())
}

/// Without the fence, a late create succeeds: the oracle reports it, orphan collection deletes the
/// copy, and nothing else has changed.
#[tokio::test]
async fn without_the_fence_a_late_create_is_collected() -> Result<()> {
    let mut cluster = FaultCluster::start(2, &short_sweep_period()).await?;
    cluster.remove_fence().await?;
    let late = deliver_late(&mut cluster).await?;
    for request in &late {
        let succeeded = request.status.is_some_and(|status| status < 300);
        ensure!(succeeded == (request.method == Method::POST), "{request}");
    }
    let outcome = cluster.finish().await?;
    let found = outcome.violations;
    let late_creates =
        found.iter().filter(|it| it.starts_with("O1 one writer: create configmaps late/"));
    ensure!(late_creates.count() == CREATED && found.len() == CREATED, "{found:#?}");
    Ok(())
}

/// Options with a short Lease and frequent orphan collection.
fn short_sweep_period() -> Options {
    let mut options = Options::quick(LEASE);
    options.arguments.push("--sweep-period=2s".to_owned());
    options
}

/// Holds back creates, an update and a deletion of the leader, and freezes it. When another leader
/// has done all of them and the ConfigMapSyncs of the creates are deleted, lets the requests arrive
/// and resumes the former leader. Returns the requests.
async fn deliver_late(cluster: &mut FaultCluster) -> Result<Vec<Request>> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&[LATE]).await?;
    for name in ["updated", "deleted"] {
        fixture.create_config_map(SOURCES, name, &[("a", "1")]).await?;
        fixture.create_sync(SOURCES, name, one_to_one(SOURCES, name, LATE)).await?;
        fixture.wait_reason(SOURCES, name, "Synced", SOON).await?;
    }

    let leader = cluster.leader().await?;
    let hold = Hold::new();
    let is_late = |it: &Request| it.namespace() == LATE && it.is_mutating();
    let fault = Fault::HoldBefore(hold.clone());
    cluster.proxies[leader].add(Rule::new(fault).when(is_late).always());
    let created: Vec<_> = (0..CREATED).map(|number| format!("created-{number}")).collect();
    for name in &created {
        fixture.create_config_map(SOURCES, name, &[("a", "1")]).await?;
        fixture.create_sync(SOURCES, name, one_to_one(SOURCES, name, LATE)).await?;
    }
    fixture.patch_config_map(SOURCES, "updated", &json!({"data": {"a": "2"}})).await?;
    fixture.delete_sync(SOURCES, "deleted").await?;
    let sent = || -> Vec<Request> {
        cluster.proxies[leader].requests().into_iter().filter(|it| it.fault.is_some()).collect()
    };
    until("every write is held back", SOON, || async {
        let sent = sent();
        let methods = methods(&sent);
        let all = BTreeMap::from([("DELETE", 1), ("PATCH", 1), ("POST", CREATED)]);
        Ok(Seen::from_bool(methods == all, || format!("{methods:?}")))
    })
    .await?;

    let process = cluster.replica(leader).process();
    process.freeze()?;
    cluster.wait_takeover(leader, TAKEOVER).await?;
    fixture.wait_data(LATE, "updated", &[("a", "2")], SOON).await?;
    fixture.wait_no_sync(SOURCES, "deleted", SOON).await?;
    for name in &created {
        fixture.wait_reason(SOURCES, name, "Synced", SOON).await?;
        fixture.delete_sync(SOURCES, name).await?;
        fixture.wait_no_sync(SOURCES, name, SOON).await?;
    }
    hold.release();
    until("all writes have responses", SOON, || async {
        let waiting = sent().iter().filter(|it| it.status.is_none()).count();
        Ok(Seen::from_bool(waiting == 0, || format!("{waiting} pending")))
    })
    .await?;
    process.thaw()?;
    cluster.wait_failed(leader, EXITS).await?;
    Ok(sent())
}

fn methods(requests: &[Request]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for request in requests {
        *count.entry(request.method.as_str()).or_default() += 1;
    }
    count
}
