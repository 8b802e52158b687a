//! Promise: when the destination changes, the new copy is written before the old one is deleted.
//! There is a copy at every moment, whatever crashes, and in the end there is only the new one.
//! Renaming the copy, or the source that it takes its name from, is the same.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use kube::ResourceExt as _;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::deny_policy::DenyPolicy;
use crate::support::scale::propagation;

/// "Gone within 60 seconds", the time included after which another process leads.
const GONE: Duration = Duration::from_mins(1);

async fn synced(world: &OperatorCluster) -> Result<(Fixture, String)> {
    let fixture = world.fixture();
    fixture.create_namespaces(&["elsewhere"]).await?;
    fixture.one_copy(&[("a", "1")]).await?;
    let uid = fixture.sync("central", "sync").await?.context("the sync is there")?.metadata.uid;
    Ok((fixture, uid.unwrap_or_default()))
}

/// There was a copy of this sync at every revision since the first, and in the end only this one.
async fn never_without(recorder: &Recorder, uid: &str, left: &str) -> Result<()> {
    let history = recorder.history().await?;
    let is_copy = |it: &Change| it.object["metadata"]["labels"][names::LABEL_SYNC_UID] == uid;
    let fewest = history.fewest(Kind::ConfigMap, is_copy).context("there never was a copy")?;
    ensure!(fewest > 0, "there was a moment without a copy: {history:#?}");
    let present = history.present(Kind::ConfigMap, history.end()).into_iter();
    let places: Vec<_> = present.filter(|it| is_copy(it)).map(|it| it.at.to_string()).collect();
    ensure!(places == [left], "{places:?}");
    Ok(())
}

#[tokio::test]
async fn the_new_copy_is_written_before_the_old_one_goes() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let (fixture, uid) = synced(&world).await?;
    fixture.create_config_map("central", "renamed", &[("a", "1")]).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    let mut old = ("app", "shared");
    for (change, new) in [
        (json!({"destinationNamespace": "elsewhere"}), ("elsewhere", "shared")),
        (json!({"destinationName": "other"}), ("elsewhere", "other")),
        (json!({"destinationNamespace": "app", "destinationName": "both"}), ("app", "both")),
        (json!({"destinationName": null}), ("app", "shared")),
        (json!({"configMapName": "renamed"}), ("app", "renamed")),
        (json!({"destinationNamespace": "central", "destinationName": "x"}), ("central", "x")),
    ] {
        let mark = world.audit().mark().await?;
        fixture.patch_sync("central", "sync", &json!({"spec": change})).await?;
        fixture.wait_data(new.0, new.1, &[("a", "1")], propagation()).await?;
        fixture.wait_no_config_map(old.0, old.1, propagation()).await?;
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;

        let events = world.audit().since(mark).await?;
        let writes = copy_writes(&events);
        let [create, delete] = &writes[..] else { anyhow::bail!("{}", lines(&writes)) };
        let expected = [("create", new.0, new.1), ("delete", old.0, old.1)];
        let seen = [create, delete].map(|it| (it.verb.as_str(), it.namespace(), it.name()));
        ensure!(seen == expected, "{}", lines(&writes));
        ensure!(create.succeeded() && delete.succeeded(), "{}", lines(&writes));
        let (created, asked) = (&create.stage_timestamp.0, &delete.request_received_timestamp.0);
        ensure!(created < asked, "created at {created}, the deletion was sent at {asked}");
        old = new;
    }
    never_without(&recorder, &uid, "central/x").await
}

#[tokio::test]
async fn there_and_back_at_once_ends_where_it_began() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let (fixture, uid) = synced(&world).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    let to = |namespace: &str| json!({"spec": {"destinationNamespace": namespace}});
    for round in 0..10 {
        fixture.patch_sync("central", "sync", &to("elsewhere")).await?;
        // Now back at once, now when the other copy is just there, now when it is alone.
        if round % 3 > 0 {
            fixture.wait_data("elsewhere", "shared", &[("a", "1")], propagation()).await?;
        }
        if round % 3 > 1 {
            fixture.wait_no_config_map("app", "shared", propagation()).await?;
        }
        fixture.patch_sync("central", "sync", &to("app")).await?;
        if round % 2 > 0 {
            fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
        }
    }
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    never_without(&recorder, &uid, "app/shared").await
}

/// Waits until an attempt was refused, and says so in the status.
async fn wait_refused(fixture: &Fixture, name: &str) -> Result<Value> {
    let what = format!("{name} says that it is refused");
    let refused = |sync: &_| message(sync).contains("refused by a policy");
    let sync = fixture.wait_sync("central", name, &what, SOON, refused).await?;
    Ok(json!(sync.status))
}

#[tokio::test]
async fn a_crash_in_between_leaves_the_old_copy_or_both() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "a", "b", "no-create", "no-delete"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    // One is stopped before its new copy is there, one before its old copy is gone.
    let syncs = [("before", "a", "no-create"), ("after", "no-delete", "b")];
    for (name, from, _) in syncs {
        fixture.create_sync("central", name, one_to_one("central", "shared", from)).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let recorder = Recorder::start(fixture.client()).await?;
    let no_create = DenyPolicy::install(&world.control_plane, "no-create", "CREATE").await?;
    let no_delete = DenyPolicy::install(&world.control_plane, "no-delete", "DELETE").await?;
    for (name, _, to) in syncs {
        let change = json!({"spec": {"destinationNamespace": to}});
        fixture.patch_sync("central", name, &change).await?;
    }
    let status = wait_refused(&fixture, "before").await?;
    let held = json!({"namespace": "a", "reason": "DeletionHeld"});
    let is_held =
        |it: &Value| it["namespace"] == held["namespace"] && it["reason"] == held["reason"];
    let failures = status["failures"].as_array().context("no failures")?;
    ensure!(failures.iter().any(is_held), "the old copy is held: {status:#}");
    wait_refused(&fixture, "after").await?;
    fixture.wait_data("b", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_data("no-delete", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_data("a", "shared", &[("a", "1")], propagation()).await?;

    world.replicas[0].process().kill()?;
    no_create.remove().await?;
    no_delete.remove().await?;
    world.replica()?.restart()?;
    let mut uids = Vec::new();
    for (name, from, to) in syncs {
        fixture.wait_no_config_map(from, "shared", GONE).await?;
        fixture.wait_data(to, "shared", &[("a", "1")], SOON).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
        let sync = fixture.sync("central", name).await?.context("the sync is there")?;
        uids.push((sync.uid().unwrap_or_default(), to));
    }
    for (uid, to) in uids {
        never_without(&recorder, &uid, &format!("{to}/shared")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_old_copy_stays_as_long_as_the_new_one_cannot_be_written() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let (fixture, uid) = synced(&world).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    fixture.create_config_map("elsewhere", "shared", &[("a", "theirs")]).await?;
    for (namespace, reason) in [("elsewhere", "Conflict"), ("kube-system", "DestinationProtected")]
        .into_iter()
        .chain([("missing", "DestinationNamespaceNotFound")])
    {
        let change = json!({"spec": {"destinationNamespace": namespace}});
        fixture.patch_sync("central", "sync", &change).await?;
        fixture.wait_reason("central", "sync", reason, SOON).await?;
        fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    }
    fixture.create_namespaces(&["missing"]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    until("only the new copy is left", propagation(), || async {
        let found = fixture.config_map("app", "shared").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await?;
    never_without(&recorder, &uid, "missing/shared").await
}
