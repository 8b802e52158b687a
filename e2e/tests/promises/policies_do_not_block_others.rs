//! The admission policies do not block other users and controllers: namespaces with copies can be
//! deleted, copies with a deleted owner are garbage-collected, users label and delete copies, and a
//! backup tool restores copies and ConfigMapSyncs.

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
use testbed::users::Permission;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Passes;

/// The controllers of the cluster take a while on a machine under load.
const COLLECTED: Duration = Duration::from_mins(1);

/// Fails if one of the admission policies has refused a request of any user, the operator included.
async fn ensure_no_refusal(cluster: &OperatorCluster, since: Mark) -> Result<()> {
    let events = cluster.audit().since(since).await?;
    let refused = |message: &str| message.contains("ValidatingAdmissionPolicy 'configmapsync-");
    let refused: Vec<_> =
        events.iter().filter(|event| refused(&event.response_status.message)).collect();
    ensure!(refused.is_empty(), "{}", lines(&refused));
    Ok(())
}

#[tokio::test]
async fn a_namespace_with_copies_can_be_deleted() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.restore_copy("app", "orphan", "central/none", "1-2").await?;
    let mark = cluster.audit().mark().await?;
    fixture.delete_namespace("app").await?;
    fixture.wait_no_namespace("app", COLLECTED).await?;
    // The namespace of the source and the ConfigMapSync can be deleted, too.
    fixture.delete_namespace("central").await?;
    fixture.wait_no_namespace("central", COLLECTED).await?;
    ensure_no_refusal(&cluster, mark).await
}

#[tokio::test]
async fn a_copy_with_a_deleted_owner_is_garbage_collected() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let owner = fixture.create_config_map("app", "owner", &[("a", "1")]).await?;
    let uid = owner.metadata.uid.context("no uid")?;
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]);
    let mark = cluster.audit().mark().await?;
    let with_owner = json!({"metadata": {"ownerReferences": reference}});
    let before = fixture.patch_config_map("app", "shared", &with_owner).await?;
    fixture.delete_config_map("app", "owner").await?;
    // Collected, then recreated by the operator.
    fixture
        .wait_config_map(
            "app",
            "shared",
            "the copy app/shared was collected and recreated",
            COLLECTED,
            |found| found.metadata.uid != before.metadata.uid,
        )
        .await?;
    ensure_no_refusal(&cluster, mark).await
}

/// Labels the copy `app/shared` for a Helm release, and deletes it, as a user with a role in `app`.
async fn label_and_delete(fixture: &Fixture, editor: &Client) -> Result<()> {
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
async fn an_editor_can_label_and_delete_copies() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let editor = cluster.control_plane.user_client("editor").await?;
    let last =
        Permission { namespace: Some("app"), group: "", resource: "configmaps", verb: "delete" };
    cluster.control_plane.bind("editor", Some("app"), "ClusterRole", "edit", last).await?;
    let mark = cluster.audit().mark().await?;
    label_and_delete(&fixture, &editor).await?;
    ensure_no_refusal(&cluster, mark).await
}

#[tokio::test]
async fn a_backup_tool_can_restore_copies_and_syncs() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let backup = cluster.control_plane.user_client("backup").await?;
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let last = Permission { namespace: None, group: "", resource: "configmaps", verb: "create" };
    cluster.control_plane.grant("backup", None, rules, last).await?;

    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;

    let mark = cluster.audit().mark().await?;
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
    ensure_no_refusal(&cluster, mark).await
}
