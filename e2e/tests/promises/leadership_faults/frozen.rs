//! A leader that is frozen, and wakes up too late, or in time; and what it had sent before.
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

use crate::leadership_faults::stage::ENDS;
use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::LEASE;
use crate::leadership_faults::stage::Stage;
use crate::support::scale::quick_or_full;

/// Where copies are made that are late.
const LATE: &str = "late";
/// Copies whose sync is deleted before they are made.
const CREATED: usize = 3;

#[tokio::test]
async fn a_leader_that_wakes_up_too_late_ends_and_has_written_nothing() -> Result<()> {
    let short = (Options::quick(LEASE), Duration::from_secs(15));
    let (options, frozen) = quick_or_full(short, (Options::default(), Duration::from_mins(1)));
    let mut stage = Stage::start(3, &options).await?;
    let leader = stage.leader().await?;
    let pod = stage.replica(leader).pod().uid.clone();
    let process = stage.replica(leader).process();
    process.freeze()?;
    let began = Instant::now();
    stage.followed(leader, FOLLOWED).await?;
    let rest = frozen.saturating_sub(began.elapsed());
    stays("another goes on", rest, || async { Ok(Seen::Done(())) }).await?;
    let mark = stage.world.audit().mark().await?;
    process.thaw()?;
    stage.ends_with_failure(leader, ENDS).await?;
    let outcome = stage.end_well().await?;
    ensure!(outcome.handover()?.from == pod);
    let awake = stage.world.audit().since(mark).await?;
    let written = awake.iter().filter(|it| it.pod_uid() == pod && it.is_write());
    let written: Vec<_> = written.filter(|it| it.succeeded()).collect();
    ensure!(written.is_empty(), "{}", testbed::audit::lines(&written));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_wakes_up_in_time_goes_on_as_if_nothing_had_happened() -> Result<()> {
    let mut stage = Stage::start(3, &Options::patient()).await?;
    let leader = stage.leader().await?;
    let process = stage.replica(leader).process();
    process.freeze()?;
    let three = Duration::from_secs(3);
    stays("nobody else leads", three, || async {
        let now = stage.leader().await?;
        Ok(Seen::from_bool(now == leader, || format!("{now} leads, and not {leader}")))
    })
    .await?;
    process.thaw()?;
    let outcome = stage.end_well().await?;
    outcome.ensure_no_transition()?;
    for replica in 0..3 {
        stage.runs(replica)?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_frozen_leader_had_sent_is_refused_when_it_arrives() -> Result<()> {
    let mut stage = Stage::start(2, &sweeps_soon()).await?;
    stage.world.wait_fenced(true).await?;
    let late = arrive_late(&mut stage).await?;
    let answers: Vec<_> = late.iter().map(|it| (it.method.clone(), it.status)).collect();
    for (method, status) in &answers {
        let refused = match *method {
            // Nothing stands in its way but the fence.
            Method::POST => *status == Some(403),
            // Another version stands there, or nothing.
            _ => [Some(403), Some(404), Some(409)].contains(status),
        };
        ensure!(refused, "{answers:?}");
    }
    stage.end_well().await?;
    Ok(())
}

/// With the fence gone, a late create lands: the oracle tells of it, it is swept, and nothing else
/// has changed.
#[tokio::test]
async fn without_the_fence_a_late_create_lands_and_is_swept() -> Result<()> {
    let mut stage = Stage::start(2, &sweeps_soon()).await?;
    stage.remove_fence().await?;
    let late = arrive_late(&mut stage).await?;
    for request in &late {
        let landed = request.status.is_some_and(|status| status < 300);
        ensure!(landed == (request.method == Method::POST), "{request}");
    }
    let outcome = stage.end().await?;
    let found = outcome.violations;
    let told = found.iter().filter(|it| it.starts_with("O1 one writer: create configmaps late/"));
    ensure!(told.count() == CREATED && found.len() == CREATED, "{found:#?}");
    Ok(())
}

fn sweeps_soon() -> Options {
    let mut options = Options::quick(LEASE);
    options.arguments.push("--sweep-period=2s".to_owned());
    options
}

/// Holds creates, an update and a deletion of the leader on their way, freezes it, lets another do
/// all of it, and the creates' syncs be deleted; then lets them arrive, and wakes up their sender.
async fn arrive_late(stage: &mut Stage) -> Result<Vec<Request>> {
    let fixture = stage.fixture();
    fixture.create_namespaces(&[LATE]).await?;
    for name in ["updated", "deleted"] {
        fixture.create_config_map(SOURCES, name, &[("a", "1")]).await?;
        fixture.create_sync(SOURCES, name, one_to_one(SOURCES, name, LATE)).await?;
        fixture.wait_reason(SOURCES, name, "Synced", SOON).await?;
    }

    let leader = stage.leader().await?;
    let hold = Hold::new();
    let is_late = |it: &Request| it.namespace() == LATE && it.is_mutating();
    let fault = Fault::HoldBefore(hold.clone());
    stage.proxies[leader].add(Rule::new(fault).when(is_late).always());
    let created: Vec<_> = (0..CREATED).map(|number| format!("created-{number}")).collect();
    for name in &created {
        fixture.create_config_map(SOURCES, name, &[("a", "1")]).await?;
        fixture.create_sync(SOURCES, name, one_to_one(SOURCES, name, LATE)).await?;
    }
    fixture.patch_config_map(SOURCES, "updated", &json!({"data": {"a": "2"}})).await?;
    fixture.delete_sync(SOURCES, "deleted").await?;
    let sent = || -> Vec<Request> {
        stage.proxies[leader].requests().into_iter().filter(|it| it.fault.is_some()).collect()
    };
    until("every write is on its way", SOON, || async {
        let sent = sent();
        let methods = methods(&sent);
        let all = BTreeMap::from([("DELETE", 1), ("PATCH", 1), ("POST", CREATED)]);
        Ok(Seen::from_bool(methods == all, || format!("{methods:?}")))
    })
    .await?;

    let process = stage.replica(leader).process();
    process.freeze()?;
    stage.followed(leader, FOLLOWED).await?;
    fixture.wait_data(LATE, "updated", &[("a", "2")], SOON).await?;
    fixture.wait_no_sync(SOURCES, "deleted", SOON).await?;
    for name in &created {
        fixture.wait_reason(SOURCES, name, "Synced", SOON).await?;
        fixture.delete_sync(SOURCES, name).await?;
        fixture.wait_no_sync(SOURCES, name, SOON).await?;
    }
    hold.release();
    until("every write has been answered", SOON, || async {
        let waiting = sent().iter().filter(|it| it.status.is_none()).count();
        Ok(Seen::from_bool(waiting == 0, || format!("{waiting} wait")))
    })
    .await?;
    process.thaw()?;
    stage.ends_with_failure(leader, ENDS).await?;
    Ok(sent())
}

fn methods(requests: &[Request]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for request in requests {
        *count.entry(request.method.as_str()).or_default() += 1;
    }
    count
}
