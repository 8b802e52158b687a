//! Promise: whatever somebody does to the Lease, at most one leads, and soon one leads again.
//!
//! With `E2E_FULL=1` a Lease that declares eleven days is waited for, which takes a minute, instead
//! of one that declares twelve seconds.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::leadership::LEADS_AGAIN;
use crate::leadership::LEASE_DURATION;
use crate::leadership::RETRY_PERIOD;
use crate::leadership::edit_is_followed;
use crate::leadership::hasty;
use crate::leadership::leases;
use crate::leadership::terms::announcements;
use crate::leadership::terms::only_the_announced_wrote;
use crate::support::scale::quick_or_full;

/// A leader notices at its next poll; a machine under load is given a little more.
const UNAWARE: Duration = RETRY_PERIOD.saturating_add(Duration::from_secs(1));

/// The version of the Lease with this in it.
async fn patch(world: &OperatorCluster, spec: &Value) -> Result<Option<String>> {
    let patch = Patch::Merge(json!({"spec": spec}));
    // What is written cannot always be read as what it is.
    let leases = leases(&world.fixture());
    let patched = leases.patch_metadata(OPERATOR, &PatchParams::default(), &patch).await?;
    Ok(patched.metadata.resource_version)
}

/// Waits until the Lease is no longer as it was in `version`, so that what is tried next is tried
/// by itself.
async fn renewed(world: &OperatorCluster, version: Option<&str>) -> Result<()> {
    let leases = leases(&world.fixture());
    until("the Lease is renewed", SOON, || async {
        let now = leases.get_metadata(OPERATOR).await?.metadata.resource_version;
        Ok(Seen::from_bool(now.as_deref() != version, || format!("version {now:?}")))
    })
    .await
}

async fn delete(world: &OperatorCluster) -> Result<()> {
    leases(&world.fixture()).delete(OPERATOR, &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until a replica holds the Lease again, and works. Where that is another than before, the
/// one that led ends, and is started again; the others go on.
async fn recovers(
    world: &mut OperatorCluster,
    before: usize,
    what: &str,
    value: &str,
) -> Result<()> {
    let began = Instant::now();
    let leader = world.wait_leader().await.with_context(|| format!("the Lease was {what}"))?;
    let took = began.elapsed();
    eprintln!("the Lease was {what}: one leads after {:.1} s", took.as_secs_f32());
    ensure!(took < LEADS_AGAIN, "the Lease was {what}: it took {took:?} until one led");
    if leader != before {
        let status = world.replicas[before].process().wait_exit(SOON).await?;
        ensure!(status.code() == Some(1), "the Lease was {what}: the leader ended with {status}");
        world.replicas[before].restart()?;
    }
    for replica in &world.replicas {
        let goes_on = replica.wait_ready().await;
        goes_on.with_context(|| format!("the Lease was {what}"))?;
    }
    edit_is_followed(&world.fixture(), value, SOON).await
}

/// Makes sure that the replica that leads is the one announced.
async fn the_holder_is_announced(world: &OperatorCluster, mark: Mark) -> Result<()> {
    until("the holder of the Lease is announced", SOON, || async {
        let leader = world.wait_leader().await?;
        let events = world.audit().since(mark).await?;
        let newest = announcements(&events).last().map(|it| it.pod_uid().to_owned());
        let holder = &world.replicas[leader].pod().uid;
        Ok(Seen::from_bool(newest.as_ref() == Some(holder), || format!("{newest:?}, {holder}")))
    })
    .await
}

#[tokio::test]
async fn whatever_is_written_into_the_lease_one_leads_again() -> Result<()> {
    let begin = Mark::default();
    let mut world = OperatorCluster::start_with(2, hasty()).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    let tries = [
        ("left without a holder", json!({"holderIdentity": null})),
        ("left without a duration", json!({"leaseDurationSeconds": null})),
        ("left without a time of renewal", json!({"renewTime": null})),
        ("left without a time of acquisition", json!({"acquireTime": null})),
        ("left without transitions", json!({"leaseTransitions": null})),
        ("given an empty holder", json!({"holderIdentity": ""})),
        ("renewed in the year 9999", json!({"renewTime": "9999-12-31T23:59:59.999999Z"})),
        ("acquired in the year 9999", json!({"acquireTime": "9999-12-31T23:59:59.999999Z"})),
        ("made to last for eleven days", json!({"leaseDurationSeconds": 1_000_000})),
        ("brought to the last transition", json!({"leaseTransitions": i32::MAX})),
        ("given to another", json!({"holderIdentity": "another"})),
    ];
    for (what, spec) in tries {
        let before = world.wait_leader().await?;
        let version = patch(&world, &spec).await?;
        recovers(&mut world, before, what, what).await?;
        renewed(&world, version.as_deref()).await?;
    }
    the_holder_is_announced(&world, begin).await?;
    let events = world.audit().since(begin).await?;
    only_the_announced_wrote(&events, UNAWARE)?;
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_deleted_is_made_again_when_its_leader_must_know() -> Result<()> {
    let begin = Mark::default();
    let mut world = OperatorCluster::start_with(2, hasty()).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    let before = world.wait_leader().await?;
    delete(&world).await?;
    recovers(&mut world, before, "deleted", "2").await?;

    let before = world.wait_leader().await?;
    delete(&world).await?;
    let empty: Lease = serde_json::from_value(json!({"metadata": {"name": OPERATOR}}))?;
    leases(&world.fixture()).create(&PostParams::default(), &empty).await?;
    recovers(&mut world, before, "deleted, and created empty", "3").await?;

    the_holder_is_announced(&world, begin).await?;
    let events = world.audit().since(begin).await?;
    let of_leases = events.iter().filter(|it| it.resource() == "leases" && it.succeeded());
    let deleted = of_leases.clone().find(|it| it.verb == "delete").context("not deleted")?;
    let created = of_leases.filter(|it| it.verb == "create" && !it.pod_uid().is_empty());
    let created: Vec<_> = created.collect();
    let [created] = created[..] else { anyhow::bail!("the operator has created\n{created:#?}") };
    let waited = created.stage_timestamp.0.duration_since(deleted.stage_timestamp.0);
    ensure!(waited.unsigned_abs() >= LEASE_DURATION, "it was created after {waited:?}");
    only_the_announced_wrote(&events, UNAWARE)?;
    Ok(())
}

#[tokio::test]
async fn a_dead_holder_is_waited_for_as_long_as_it_declares_within_bounds() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, hasty()).await?;
    world.fixture().one_copy(&[("a", "1")]).await?;
    let (declared, capped) = quick_or_full((12, 12), (1_000_000, 60));
    let mark = world.audit().mark().await?;
    patch(&world, &json!({"holderIdentity": "another", "leaseDurationSeconds": declared})).await?;
    let status = world.replica()?.process().wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "a leader that lost the Lease ended with {status}");
    world.replica()?.restart()?;
    let within = Duration::from_secs(capped) + SOON;
    edit_is_followed(&world.fixture(), "2", within).await?;
    let events = world.audit().since(mark).await?;
    let announced = announcements(&events);
    let [announced] = announced[..] else { anyhow::bail!("{} announcements", announced.len()) };
    let is_ours = |it: &&Event| it.resource() == "leases" && it.pod_uid().is_empty();
    let taken = events.iter().find(|it| is_ours(it) && it.verb == "patch");
    let taken = taken.context("nobody took the Lease")?.stage_timestamp.0;
    let waited = announced.stage_timestamp.0.duration_since(taken).unsigned_abs();
    ensure!(waited >= Duration::from_secs(capped), "it waited for {waited:?} only");
    Ok(())
}

#[tokio::test]
async fn where_there_was_never_a_lease_it_is_made_after_a_while() -> Result<()> {
    let mut world = OperatorCluster::start_with(0, hasty()).await?;
    delete(&world).await?;
    let mark = world.audit().mark().await?;
    world.add_replicas(1).await?;
    world.wait_leader().await?;
    let events = world.audit().since(mark).await?;
    let mut of_leases = events.iter().filter(|it| it.resource() == "leases" && it.is_final());
    let first = of_leases.next().context("nobody asked for the Lease")?;
    let created = of_leases.find(|it| it.verb == "create").context("nobody created the Lease")?;
    let waited = created.stage_timestamp.0.duration_since(first.stage_timestamp.0);
    ensure!(waited.unsigned_abs() >= LEASE_DURATION, "it was created after {waited:?}");
    Ok(())
}
