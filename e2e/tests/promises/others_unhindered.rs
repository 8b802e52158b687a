//! Promise: the policies hold up nobody whose work is none of ours: namespaces with copies in them
//! are deleted, what belongs to a deleted owner is collected, people delete and label copies, and a
//! tool that restores backups brings copies and ConfigMapSyncs back.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::syncs;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use kube::Client;
use serde_json::json;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::users::Right;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Passes;

/// Controllers of the cluster work in turns, on a machine under load.
const COLLECTED: Duration = Duration::from_mins(1);

/// Nobody was refused by one of ours, the operator included.
async fn ensure_no_refusal(world: &OperatorCluster, since: Mark) -> Result<()> {
    let events = world.audit().since(since).await?;
    let refused = |message: &str| message.contains("ValidatingAdmissionPolicy 'configmapsync-");
    let refused: Vec<_> =
        events.iter().filter(|event| refused(&event.response_status.message)).collect();
    ensure!(refused.is_empty(), "{}", lines(&refused));
    Ok(())
}

#[tokio::test]
async fn namespaces_with_copies_are_deleted() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    fixture.restore_copy("app", "of-nobody", "central/none", "1-2").await?;
    let mark = world.audit().mark().await?;
    fixture.delete_namespace("app").await?;
    fixture.wait_no_namespace("app", COLLECTED).await?;
    // The namespace of the source and the sync, too.
    fixture.delete_namespace("central").await?;
    fixture.wait_no_namespace("central", COLLECTED).await?;
    ensure_no_refusal(&world, mark).await
}

#[tokio::test]
async fn what_belongs_to_a_deleted_owner_is_collected() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let owner = fixture.create_config_map("app", "owner", &[("a", "1")]).await?;
    let uid = owner.metadata.uid.context("no uid")?;
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]);
    let mark = world.audit().mark().await?;
    let belongs = json!({"metadata": {"ownerReferences": reference}});
    let before = fixture.patch_config_map("app", "shared", &belongs).await?;
    fixture.delete_config_map("app", "owner").await?;
    // Collected, then made again by the operator: another object of that name.
    fixture
        .wait_config_map("app", "shared", "the copy is another one", COLLECTED, |found| {
            found.metadata.uid != before.metadata.uid
        })
        .await?;
    ensure_no_refusal(&world, mark).await
}

/// Deletes and labels the copy `app/shared`, and releases it, as a person with a role in `app`.
async fn handle(fixture: &Fixture, editor: &Client) -> Result<()> {
    let editor = ("editor of the namespace", editor);
    let at = format!("{}/shared", config_maps("app"));
    let helm = json!({"metadata": {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            "meta.helm.sh/release-name": "theirs",
            "meta.helm.sh/release-namespace": "app",
        },
    }});
    let mut table = AttemptTable::default();
    table.add(editor, &Attempt::merge("adopt it with Helm", &at, helm), Passes).await?;
    table.add(editor, &Attempt::delete("kubectl delete", &at), Passes).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    table.finish()
}

#[tokio::test]
async fn people_handle_copies_as_they_may_handle_config_maps() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let editor = world.control_plane.person("editor").await?;
    let last = Right { namespace: Some("app"), group: "", resource: "configmaps", verb: "delete" };
    world.control_plane.bind("editor", Some("app"), "ClusterRole", "edit", last).await?;
    let mark = world.audit().mark().await?;
    handle(&fixture, &editor).await?;
    ensure_no_refusal(&world, mark).await
}

#[tokio::test]
async fn a_tool_with_all_rights_restores_copies_and_syncs() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let backup = world.control_plane.person("backup").await?;
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let last = Right { namespace: None, group: "", resource: "configmaps", verb: "create" };
    world.control_plane.grant("backup", None, rules, last).await?;

    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;

    let mark = world.audit().mark().await?;
    let restored = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "shared",
            "labels": copy.metadata.labels,
            "annotations": copy.metadata.annotations,
        },
        "data": copy.data,
    });
    let of_sync = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": "sync", "finalizers": sync.metadata.finalizers},
        "spec": sync.spec,
    });
    let backup = ("backup tool", &backup);
    let mut table = AttemptTable::default();
    let map = Attempt::create("restore the copy", config_maps("app"), restored);
    table.add(backup, &map, Passes).await?;
    let sync = Attempt::create("restore the sync", syncs("central"), of_sync);
    table.add(backup, &sync, Passes).await?;
    table.finish()?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    ensure_no_refusal(&world, mark).await
}
