//! A rolling upgrade to another version and back causes short handovers only, and writes no copy
//! that is in sync.
//!
//! `E2E_PREVIOUS` is the path of the previous version's binary; without it, both versions are this
//! one. With `E2E_FULL=1` there are 500 ConfigMapSyncs that do not change. A leader observes all of
//! them before its first write, so that this needs an idle machine.
//!
//! The fence would refuse the writes of a version that publishes no leader record. A downgrade to
//! such a version requires removing the fence first, as this test does; then only the Lease decides
//! who writes.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncLeader;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::load;
use harness::oracle;
use harness::oracle::Kind;
use harness::oracle::liveness;
use harness::oracle::liveness::Handover;
use harness::replica;
use harness::replica::Options;
use kube::Api;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;

use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::Outcome;
use crate::leadership_faults::fault_cluster::TAKEOVER;
use crate::support::conditions::reason;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

const PREVIOUS: &str = "E2E_PREVIOUS";
const REPLICAS: usize = 3;
/// Maximum time without a write at each handover: far less than the Lease takes to expire.
const MAX_GAP: Duration = Duration::from_secs(20);
/// The namespace of sources and ConfigMapSyncs that do not change.
const STABLE: &str = "stable";
/// The namespace of their copies.
const STABLE_COPIES: &str = "stable-copies";
/// Deadline for the first copies.
const CREATED: Duration = Duration::from_mins(2);

/// What decides who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    /// The leader record, enforced by the fence.
    LeaderRecord,
    /// The Lease, if the previous version publishes no leader record.
    Lease,
}

/// Options of the previous version.
fn previous() -> Result<Options> {
    let binary = env::var_os(PREVIOUS).map(PathBuf::from);
    if let Some(binary) = &binary {
        ensure!(binary.is_file(), "{PREVIOUS}: no such file: {}", binary.display());
    }
    Ok(Options { binary, ..Options::patient() })
}

#[tokio::test]
async fn upgrade_and_downgrade_rewrite_no_copy() -> Result<()> {
    let (before, now) = (previous()?, Options::patient());
    let mut cluster = FaultCluster::without_replicas().await?;
    for _ in 0..REPLICAS {
        cluster.add(&before).await?;
    }
    create_stable(&cluster, quick_or_full(50, 500)).await?;
    let authority = find_authority(&cluster).await?;
    cluster.start_edits().await?;
    let mark = cluster.operator.audit().mark().await?;

    let mut replicas = (0..REPLICAS).collect();
    for (version, name) in [(now, "created-before"), (before, "created-after")] {
        create_copy(&cluster, name).await?;
        replicas = replace(&mut cluster, replicas, &version).await?;
        ensure_managed(&cluster, name).await?;
    }

    let outcome = cluster.finish().await?;
    ensure_outcome(authority, outcome)?;
    let events = cluster.operator.audit().since(mark).await?;
    let rewritten = writes_of_stable(&events);
    ensure!(rewritten.is_empty(), "{} rewritten:\n{}", rewritten.len(), lines(&rewritten));
    Ok(())
}

/// Creates ConfigMapSyncs that do not change, and waits until all are `Synced`.
async fn create_stable(cluster: &FaultCluster, count: usize) -> Result<()> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&[STABLE, STABLE_COPIES]).await?;
    for name in (0..count).map(|number| format!("stable-{number}")) {
        fixture.create_config_map(STABLE, &name, &[("a", "1")]).await?;
        fixture.create_sync(STABLE, &name, one_to_one(STABLE, &name, STABLE_COPIES)).await?;
    }
    wait_syncs(&fixture, STABLE, "all ConfigMapSyncs are Synced", CREATED, |syncs| {
        let synced = syncs.values().filter(|sync| reason(sync) == "Synced").count();
        Seen::from_bool(synced == count, || format!("{synced} of {count}"))
    })
    .await
}

/// The attempted writes of the objects that do not change.
fn writes_of_stable(events: &[Event]) -> Vec<&Event> {
    let writes = writes_by_operator(events).into_iter();
    writes.filter(|event| [STABLE, STABLE_COPIES].contains(&event.namespace())).collect()
}

/// Whether the version publishes a leader record. To be called after the first copies are created,
/// when a record would exist. Removes the fence if there is none.
async fn find_authority(cluster: &FaultCluster) -> Result<Authority> {
    let leaders = Api::<ConfigMapSyncLeader>::namespaced(cluster.fixture().client(), OPERATOR);
    if leaders.get_opt(OPERATOR).await?.is_some() {
        cluster.operator.wait_fenced(true).await?;
        return Ok(Authority::LeaderRecord);
    }
    ensure!(env::var_os(PREVIOUS).is_some(), "this version published no leader record");
    // With a record, the removal of the fence can be observed.
    replica::publish_leader_record(&cluster.operator.control_plane, "none", 1).await?;
    cluster.remove_fence().await?;
    Ok(Authority::Lease)
}

/// Replaces the replicas as a Deployment does: a new one is ready before an old one is stopped. The
/// leader is stopped first if it is an old one, for as many handovers as possible.
async fn replace(
    cluster: &mut FaultCluster,
    mut old: Vec<usize>,
    version: &Options,
) -> Result<Vec<usize>> {
    let mut new = Vec::new();
    while !old.is_empty() {
        cluster.add(version).await?;
        new.push(cluster.proxies.len() - 1);
        let leader = cluster.leader().await?;
        let next = old.iter().position(|it| *it == leader).unwrap_or_default();
        let next = old.remove(next);
        cluster.replica(next).terminate_and_wait().await?;
        cluster.wait_takeover(next, TAKEOVER).await?;
    }
    Ok(new)
}

/// Creates a copy by the version that will be replaced.
async fn create_copy(cluster: &FaultCluster, name: &str) -> Result<()> {
    let fixture = cluster.fixture();
    fixture.create_config_map(load::SOURCES, name, &[("a", "1")]).await?;
    let spec = one_to_one(load::SOURCES, name, load::COPIES);
    fixture.create_sync(load::SOURCES, name, spec).await?;
    fixture.wait_reason(load::SOURCES, name, "Synced", SOON).await?;
    Ok(())
}

/// Fails unless the new version recognises the copy by its markers: it updates it, repairs it, and
/// deletes it with its ConfigMapSync.
async fn ensure_managed(cluster: &FaultCluster, name: &str) -> Result<()> {
    let fixture = cluster.fixture();
    let copy = fixture.config_map(load::COPIES, name).await?.context("the copy was deleted")?;
    let two = json!({"data": {"a": "2"}});
    fixture.patch_config_map(load::SOURCES, name, &two).await?;
    fixture.wait_data(load::COPIES, name, &[("a", "2")], SOON).await?;
    fixture.patch_config_map(load::COPIES, name, &json!({"data": {"b": "theirs"}})).await?;
    let repaired = fixture.wait_data(load::COPIES, name, &[("a", "2")], SOON).await?;
    ensure!(repaired.metadata.uid == copy.metadata.uid, "the copy was recreated");
    fixture.delete_sync(load::SOURCES, name).await?;
    fixture.wait_no_sync(load::SOURCES, name, SOON).await?;
    ensure!(fixture.config_map(load::COPIES, name).await?.is_none(), "the copy was left behind");
    Ok(())
}

/// Fails unless the oracles find no violation and each handover was short.
fn ensure_outcome(authority: Authority, outcome: Outcome) -> Result<()> {
    let Outcome { history, events, violations } = outcome;
    match authority {
        Authority::LeaderRecord => ensure!(violations.is_empty(), "{}", violations.join("\n")),
        Authority::Lease => {
            oracle::ensure_all(&history.only(|it| it.kind != Kind::Leader), &events)?;
        }
    }
    let handovers = liveness::handovers(&events);
    ensure!(handovers.len() >= 2, "expected at least two handovers: {handovers:?}");
    let late = liveness::late_handovers(&handovers, MAX_GAP);
    ensure!(late.is_empty(), "{}", late.join("\n"));
    let longest = handovers.iter().map(Handover::gap).max().unwrap_or_default();
    eprintln!(
        "writer decided by {authority:?}: {} handovers, at most {:.2} s without a write",
        handovers.len(),
        longest.as_secs_f32()
    );
    Ok(())
}
