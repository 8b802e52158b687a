//! The author of a ConfigMapSync needs permission to read the source and to write the copies. A
//! tenant of one namespace learns nothing about another, not even whether an object exists.

mod account;
mod emergency;
mod fields;
mod paths;
mod support;

use anyhow::Result;
use anyhow::ensure;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::syncs;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use serde_json::json;
use testbed::users::Permission;

use crate::consent::support::REFUSED;
use crate::consent::support::SECRET;
use crate::consent::support::cluster_with_tenant;
use crate::consent::support::manifest;
use crate::consent::support::spec;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Passes;

#[tokio::test]
async fn missing_and_forbidden_sources_get_the_same_refusal() -> Result<()> {
    let (cluster, tenant) = cluster_with_tenant().await?;
    let attempt = |namespace: &str| {
        let patch = json!({"sourceNamespace": namespace, "configMapName": "secret"});
        let body = manifest("probe", &spec(&patch));
        Attempt::create(format!("copy {namespace}/secret"), syncs("tenant"), body)
    };
    let mut table = AttemptTable::default();
    let present = table.add(("tenant", &tenant), &attempt("victim"), REFUSED).await?;
    cluster.fixture().delete_config_map("victim", "secret").await?;
    let absent = table.add(("tenant", &tenant), &attempt("victim"), REFUSED).await?;
    let nowhere = table.add(("tenant", &tenant), &attempt("nowhere"), REFUSED).await?;
    table.finish()?;
    ensure!(present == absent, "{present}\n{absent}");
    ensure!(nowhere.message.replace("nowhere", "victim") == absent.message, "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn a_refused_selector_is_told_of_service_accounts() -> Result<()> {
    let (_cluster, tenant) = cluster_with_tenant().await?;
    let all = json!({"destinationNamespace": null, "destinationNamespaceSelector": {}});
    let mut table = AttemptTable::default();
    for (what, patch, is_told) in [
        ("copy everywhere", all, true),
        ("copy into victim", json!({"destinationNamespace": "victim"}), false),
    ] {
        let attempt = Attempt::create(what, syncs("tenant"), manifest("probe", &spec(&patch)));
        let refused = table.add(("tenant", &tenant), &attempt, REFUSED).await?;
        let found = refused.message.contains("set serviceAccountName");
        ensure!(found == is_told, "{what}: {refused}");
    }
    table.finish()
}

#[tokio::test]
async fn authors_may_create_what_their_permissions_allow() -> Result<()> {
    let (cluster, tenant) = cluster_with_tenant().await?;
    let control_plane = &cluster.control_plane;
    let gift =
        manifest("gift", &spec(&json!({"sourceNamespace": "victim", "configMapName": "secret"})));
    let create = |what: &str| Attempt::create(what, syncs("tenant"), gift.clone());
    let mut table = AttemptTable::default();
    table.add(("tenant", &tenant), &create("copy victim/secret"), REFUSED).await?;

    // RBAC of the namespace `victim` permits it.
    let permission =
        Permission { namespace: Some("victim"), group: "", resource: "configmaps", verb: "list" };
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["secret"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
    ]);
    control_plane.grant("tenant", Some("victim"), rules, permission).await?;
    table.add(("tenant", &tenant), &create("copy victim/secret, with permission"), Passes).await?;
    cluster.fixture().wait_data("tenant", "copy", &[("key", SECRET)], SOON).await?;

    let robot = control_plane.user_client("robot").await?;
    let everywhere =
        Permission { namespace: None, group: "", resource: "configmaps", verb: "delete" };
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update", "delete"]},
        {"apiGroups": ["apps.nishaf.info"], "resources": ["configmapsyncs"],
         "verbs": ["get", "create", "patch", "update", "delete"]},
    ]);
    control_plane.grant("robot", None, rules, everywhere).await?;
    let robot = ("GitOps", &robot);
    let at = format!("{}/robots", syncs("tenant"));
    let to_victim = json!({"destinationNamespace": "victim"});
    let all = json!({"destinationNamespace": null, "destinationNamespaceSelector": {}});
    for (what, patch) in [("copy into victim", to_victim), ("copy everywhere", all)] {
        let attempt = Attempt::apply(what, &at, manifest("robots", &spec(&patch)));
        table.add(robot, &attempt, Passes).await?;
    }
    cluster.fixture().wait_data("victim", "copy", &[("key", "mine")], SOON).await?;
    table.add(robot, &Attempt::delete("delete it", &at), Passes).await?;
    cluster.fixture().wait_no_config_map("victim", "copy", SOON).await?;
    table.finish()
}

#[tokio::test]
async fn cluster_administrators_may_create_any_sync() -> Result<()> {
    let (cluster, _) = cluster_with_tenant().await?;
    let fixture = cluster.fixture();
    fixture.create_sync("tenant", "sync", one_to_one("victim", "secret", "tenant")).await?;
    fixture.wait_data("tenant", "secret", &[("key", SECRET)], SOON).await?;
    let admin = cluster.control_plane.client();
    let at = format!("{}/secret", config_maps("victim"));
    let edit = Attempt::merge("edit the source", at, json!({"data": {"key": "new"}}));
    ensure!(edit.send_as(&admin).await?.is_allowed());
    fixture.wait_data("tenant", "secret", &[("key", "new")], SOON).await?;
    Ok(())
}
