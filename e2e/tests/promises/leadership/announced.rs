//! Promise: a leader is announced before it writes, and looks anew; a standby asks for nothing but
//! the Lease.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncLeader;
use harness::audit_queries::by_operator;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::leadership::edit_is_followed;
use crate::leadership::hasty;
use crate::leadership::terms::announcements;
use crate::leadership::terms::only_the_announced_wrote;
use crate::support::audit::copy_writes;

/// The leader looks at its announcement every half minute.
const LOOKED_AT: Duration = Duration::from_secs(45);
const KIND: &str = "configmapsyncleaders.apps.nishaf.info";

fn leaders(world: &OperatorCluster) -> Api<ConfigMapSyncLeader> {
    Api::namespaced(world.fixture().client(), OPERATOR)
}

/// Takes the leader away, and waits until another has written.
async fn another_leads(world: &mut OperatorCluster, value: &str) -> Result<()> {
    let leader = world.take_leader().await?;
    leader.terminate_and_wait().await?;
    edit_is_followed(&world.fixture(), value, SOON).await
}

#[tokio::test]
async fn each_leader_is_announced_before_it_lists_and_lists_before_it_writes() -> Result<()> {
    let mut world = OperatorCluster::start(3).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    another_leads(&mut world, "2").await?;
    another_leads(&mut world, "3").await?;

    let events = world.audit().since(Mark::default()).await?;
    ensure!(
        only_the_announced_wrote(&events, Duration::ZERO)? >= 3,
        "{}",
        lines(&copy_writes(&events))
    );
    let announced = announcements(&events);
    ensure!(announced.len() == 3, "{}", lines(&announced));
    for (term, announcement) in (1_i64..).zip(announced) {
        let spec = announcement.request_object.as_ref().map(|it| it["spec"].clone());
        let spec = spec.unwrap_or_default();
        let pod = announcement.pod_uid();
        ensure!(spec["term"] == term && spec["podUID"] == pod, "{spec} of {pod}");
        let at = |found: &dyn Fn(&Event) -> bool| {
            let mine = by_operator(&events).filter(|it| it.pod_uid() == pod);
            mine.enumerate().find(|(_, it)| found(it)).map(|(index, _)| index)
        };
        let told = at(&|it| it.resource() == "configmapsyncleaders" && it.is_write());
        let told = told.context("not announced")?;
        for resource in ["configmapsyncs", "configmaps", "namespaces"] {
            let listed = at(&|it| it.verb == "list" && it.resource() == resource);
            let listed = listed.with_context(|| format!("{resource} were not listed"))?;
            let written = at(&|it| it.resource() == "configmaps" && it.is_write());
            let written = written.context("nothing was written")?;
            ensure!(told < listed && listed < written, "{told} {listed} {written} {resource}");
        }
        let stale = by_operator(&events)
            .filter(|it| it.verb == "list" && it.request_uri.contains("resourceVersion="));
        let stale: Vec<_> = stale.collect();
        ensure!(stale.is_empty(), "lists that may return the past:\n{}", lines(&stale));
    }
    Ok(())
}

#[tokio::test]
async fn a_standby_asks_for_nothing_but_the_lease() -> Result<()> {
    let mut world = OperatorCluster::start(3).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    edit_is_followed(&world.fixture(), "2", SOON).await?;
    world.take_leader().await?;
    let events = world.audit().since(Mark::default()).await?;
    for standby in &world.replicas {
        let uid = &standby.pod().uid;
        let asked: Vec<_> =
            by_operator(&events).filter(|it| it.pod_uid() == uid && !it.is_dry_run()).collect();
        let others: Vec<_> = asked.iter().copied().filter(|it| it.resource() != "leases").collect();
        ensure!(others.is_empty(), "{}", lines(&others));
        ensure!(!asked.is_empty(), "a standby that does not look at the Lease");
    }
    Ok(())
}

#[tokio::test]
async fn where_the_kind_is_missing_it_goes_on_and_says_so_until_the_kind_is_there() -> Result<()> {
    let mut world = OperatorCluster::start(0).await?;
    let kinds: Api<CustomResourceDefinition> = Api::all(world.fixture().client());
    kinds.delete(KIND, &DeleteParams::default()).await?;
    until("the kind is gone", SOON, || async {
        let there = leaders(&world).get_opt(OPERATOR).await.is_ok();
        let defined = kinds.get_opt(KIND).await?.is_some();
        Ok(Seen::from_bool(!defined, || format!("served: {there}")))
    })
    .await?;
    world.add_replicas(1).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    let says = |words: &str| {
        let logs = world.replicas[0].logs();
        logs.iter().any(|line| line.to_string().contains(words))
    };
    ensure!(says("leading without it"), "it does not say so");

    let file = manifest("crds/configmapsyncleaders.yaml");
    world.control_plane.apply_file(&file).await?;
    until("it is announced", LOOKED_AT, || async {
        let found = leaders(&world).get_opt(OPERATOR).await.ok().flatten();
        Ok(Seen::from_option(found, || "no announcement".to_owned()))
    })
    .await?;
    Ok(())
}

/// Longer than a leader waits for an answer about its announcement.
const SLOW: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_announcement_that_is_answered_late_costs_no_lease() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&world.control_plane)?;
    let slow = Rule::new(Fault::Delay(SLOW)).method(Method::POST);
    proxy.add(slow.resource("configmapsyncleaders"));
    let options = Options { server: Some(proxy.url()), ..Options::quick(9) };
    let replica = Replica::start(&world.control_plane, OPERATOR, &options).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    replica.process().expect_running().context("it lost the Lease")?;

    let requests = proxy.requests();
    let late = requests.iter().position(|it| it.fault.is_some()).context("none was late")?;
    let after = requests.iter().skip(late + 1);
    let is_announcement =
        |it: &&Request| it.method == Method::POST && it.resource() == "configmapsyncleaders";
    let until_the_next = after.take_while(|it| !is_announcement(it));
    let renewals =
        until_the_next.filter(|it| it.method == Method::PATCH && it.resource() == "leases").count();
    // One would be that before the next attempt.
    ensure!(renewals > 1, "the Lease was renewed {renewals} times while nothing was answered");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_no_longer_the_one_announced_ends() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, hasty()).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    let before = leaders(&world).get(OPERATOR).await?.spec.term;
    let patch = Patch::Merge(json!({"spec": {"podUID": "another", "holder": "another"}}));
    leaders(&world).patch(OPERATOR, &PatchParams::default(), &patch).await?;
    let replica = world.replica()?;
    let status = replica.process().wait_exit(LOOKED_AT).await?;
    ensure!(status.code() == Some(1), "a leader that was deposed ended with {status}");
    let told = replica.process().tail(3);
    ensure!(told.contains("the leader record (ConfigMapSyncLeader) names another"), "{told}");
    replica.restart()?;
    edit_is_followed(&world.fixture(), "2", SOON).await?;
    let after = leaders(&world).get(OPERATOR).await?.spec;
    ensure!(after.term == before + 1, "term {before} was followed by {}", after.term);
    ensure!(after.pod_uid == world.replicas[0].pod().uid);
    Ok(())
}
