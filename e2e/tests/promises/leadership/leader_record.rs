//! A new leader publishes the leader record, then lists, then writes. A standby reads nothing but
//! the Lease.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
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

use crate::leadership::support::edit_and_wait;
use crate::leadership::support::leaders;
use crate::leadership::support::short_lease;
use crate::leadership::terms::ensure_only_recorded_leaders_wrote;
use crate::leadership::terms::leader_records;
use crate::support::audit::copy_writes;

/// The leader reads its record every half minute.
const RECORD_READ: Duration = Duration::from_secs(45);
const KIND: &str = "configmapsyncleaders.apps.nishaf.info";

/// Stops the leader, and waits until another one has written.
async fn replace_leader(cluster: &mut OperatorCluster, value: &str) -> Result<()> {
    let leader = cluster.take_leader().await?;
    leader.terminate_and_wait().await?;
    edit_and_wait(&cluster.fixture(), value, SOON).await
}

#[tokio::test]
async fn leaders_publish_then_list_then_write() -> Result<()> {
    let mut cluster = OperatorCluster::start(3).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    replace_leader(&mut cluster, "2").await?;
    replace_leader(&mut cluster, "3").await?;

    let events = cluster.audit().since(Mark::default()).await?;
    ensure!(
        ensure_only_recorded_leaders_wrote(&events, Duration::ZERO)? >= 3,
        "{}",
        lines(&copy_writes(&events))
    );
    let records = leader_records(&events);
    ensure!(records.len() == 3, "{}", lines(&records));
    for (term, record) in (1_i64..).zip(records) {
        let spec = record.request_object.as_ref().map(|it| it["spec"].clone());
        let spec = spec.unwrap_or_default();
        let pod = record.pod_uid();
        ensure!(spec["term"] == term && spec["podUID"] == pod, "{spec} of {pod}");
        let at = |found: &dyn Fn(&Event) -> bool| {
            let mine = requests_by_operator(&events).filter(|it| it.pod_uid() == pod);
            mine.enumerate().find(|(_, it)| found(it)).map(|(index, _)| index)
        };
        let published = at(&|it| it.resource() == "configmapsyncleaders" && it.is_write());
        let published = published.context("the leader record was not published")?;
        for resource in ["configmapsyncs", "configmaps", "namespaces"] {
            let listed = at(&|it| it.verb == "list" && it.resource() == resource);
            let listed = listed.with_context(|| format!("{resource} were not listed"))?;
            let written = at(&|it| it.resource() == "configmaps" && it.is_write());
            let written = written.context("nothing was written")?;
            ensure!(
                published < listed && listed < written,
                "{resource}: published {published}, listed {listed}, written {written}"
            );
        }
        let stale = requests_by_operator(&events)
            .filter(|it| it.verb == "list" && it.request_uri.contains("resourceVersion="));
        let stale: Vec<_> = stale.collect();
        ensure!(stale.is_empty(), "lists that may be served from a cache:\n{}", lines(&stale));
    }
    Ok(())
}

#[tokio::test]
async fn a_standby_reads_only_the_lease_and_its_holder() -> Result<()> {
    let mut cluster = OperatorCluster::start(3).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    edit_and_wait(&cluster.fixture(), "2", SOON).await?;
    cluster.take_leader().await?;
    let events = cluster.audit().since(Mark::default()).await?;
    for standby in &cluster.replicas {
        let uid = &standby.pod().uid;
        let requests: Vec<_> = requests_by_operator(&events)
            .filter(|it| it.pod_uid() == uid && !it.is_dry_run())
            .collect();
        let others: Vec<_> = requests
            .iter()
            .copied()
            .filter(|it| !["leases", "pods"].contains(&it.resource()))
            .collect();
        ensure!(others.is_empty(), "{}", lines(&others));
        ensure!(!requests.is_empty(), "a standby that does not read the Lease");
    }
    Ok(())
}

#[tokio::test]
async fn without_the_kind_copies_are_written_and_it_is_logged() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let kinds: Api<CustomResourceDefinition> = Api::all(cluster.fixture().client());
    kinds.delete(KIND, &DeleteParams::default()).await?;
    until("the CustomResourceDefinition is deleted", SOON, || async {
        let is_served = leaders(&cluster.fixture()).get_opt(OPERATOR).await.is_ok();
        let defined = kinds.get_opt(KIND).await?.is_some();
        Ok(Seen::from_bool(!defined, || format!("still defined, served: {is_served}")))
    })
    .await?;
    cluster.add_replicas(1).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let is_logged = |words: &str| {
        let logs = cluster.replicas[0].logs();
        logs.iter().any(|line| line.to_string().contains(words))
    };
    ensure!(is_logged("leading without it"), "the log does not report it");

    let file = manifest("crds/configmapsyncleaders.yaml");
    cluster.control_plane.apply_file(&file).await?;
    until("the leader record is published", RECORD_READ, || async {
        let found = leaders(&cluster.fixture()).get_opt(OPERATOR).await.ok().flatten();
        Ok(Seen::from_option(found, || "no leader record".to_owned()))
    })
    .await?;
    Ok(())
}

/// Longer than a leader waits for the response to a write of its record.
const SLOW: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_late_response_about_the_record_keeps_the_lease() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let slow = Rule::new(Fault::Delay(SLOW)).method(Method::POST);
    proxy.add(slow.resource("configmapsyncleaders"));
    let options = Options { server: Some(proxy.url()), ..Options::quick(9) };
    let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    replica.process().expect_running().context("the leader lost the Lease")?;

    let requests = proxy.requests();
    let late =
        requests.iter().position(|it| it.fault.is_some()).context("no request was delayed")?;
    let after = requests.iter().skip(late + 1);
    let is_record =
        |it: &&Request| it.method == Method::POST && it.resource() == "configmapsyncleaders";
    let until_the_next = after.take_while(|it| !is_record(it));
    let renewals =
        until_the_next.filter(|it| it.method == Method::PATCH && it.resource() == "leases").count();
    // A single renewal might be the one before the next attempt.
    ensure!(
        renewals > 1,
        "the Lease was renewed {renewals} times while the write of the record was pending"
    );
    Ok(())
}

#[tokio::test]
async fn a_new_leader_is_not_ready_before_its_lists() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let hold = Hold::new();
    let publishes = Rule::new(Fault::HoldBefore(hold.clone())).method(Method::POST);
    proxy.add(publishes.resource("configmapsyncleaders"));
    let options = Options { server: Some(proxy.url()), ..Options::default() };
    let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    hold.reached(SOON).await?;
    ensure!(!replica.is_ready().await?, "ready before the leader record is published");
    hold.release();
    replica.wait_ready().await
}

#[tokio::test]
async fn a_leader_replaced_in_the_record_exits() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let before = leaders(&cluster.fixture()).get(OPERATOR).await?.spec.term;
    let patch = Patch::Merge(json!({"spec": {"podUID": "another", "holder": "another"}}));
    leaders(&cluster.fixture()).patch(OPERATOR, &PatchParams::default(), &patch).await?;
    let replica = cluster.replica()?;
    let status = replica.process().wait_exit(RECORD_READ).await?;
    ensure!(status.code() == Some(1), "the replaced leader exited with {status}");
    let log = replica.process().tail(3);
    ensure!(log.contains("the leader record (ConfigMapSyncLeader) names another"), "{log}");
    replica.restart()?;
    edit_and_wait(&cluster.fixture(), "2", SOON).await?;
    let after = leaders(&cluster.fixture()).get(OPERATOR).await?.spec;
    ensure!(after.term == before + 1, "term {} follows {before}", after.term);
    ensure!(after.pod_uid == cluster.replicas[0].pod().uid);
    Ok(())
}
