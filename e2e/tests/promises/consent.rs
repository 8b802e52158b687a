//! Promise: nobody borrows the operator's rights. Whoever writes a ConfigMapSync has to be allowed
//! to read the source and to write the copies; a tenant of one namespace learns nothing of another,
//! not even what there is.

mod fields;
mod paths;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_CONSENT;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::syncs;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::users::Right;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Passes;
use crate::support::attempt_table::Expected::RefusedBy;

/// What only the namespace `victim` holds.
const SECRET: &str = "bytes-of-the-victim";
const REFUSED: crate::support::attempt_table::Expected<'static> = RefusedBy(POLICY_CONSENT);

/// A spec, and what differs from a copy of `tenant/own` beside itself.
fn spec(differs: &Value) -> Value {
    let mut spec = json!({
        "sourceNamespace": "tenant",
        "configMapName": "own",
        "destinationNamespace": "tenant",
        "destinationName": "copy",
    });
    json_patch::merge(&mut spec, differs);
    spec
}

fn sync(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": name, "namespace": "tenant"},
        "spec": spec,
    })
}

/// A running operator, a victim, and a tenant who is `admin` of the namespace `tenant` alone.
async fn stage() -> Result<(OperatorCluster, Client)> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["tenant", "victim"]).await?;
    fixture.create_config_map("victim", "secret", &[("key", SECRET)]).await?;
    fixture.create_config_map("tenant", "own", &[("key", "mine")]).await?;
    let control_plane = &world.control_plane;
    let tenant = control_plane.person("tenant").await?;
    // Gained by aggregation: the role of the cluster knows our kind.
    let last = Right {
        namespace: Some("tenant"),
        group: "apps.nishaf.info",
        resource: "configmapsyncs",
        verb: "update",
    };
    control_plane.bind("tenant", Some("tenant"), "ClusterRole", "admin", last).await?;
    Ok((world, tenant))
}

/// Nothing of the victim is outside, nothing has changed inside, and nobody else got anything.
async fn ensure_nothing_leaked(world: &OperatorCluster, expected: &[&str]) -> Result<()> {
    let all = Api::<ConfigMap>::all(world.control_plane.client());
    let found = all.list(&ListParams::default()).await?.items;
    let mut marked = Vec::new();
    for map in &found {
        let at = format!(
            "{}/{}",
            map.metadata.namespace.as_deref().unwrap_or_default(),
            map.metadata.name.as_deref().unwrap_or_default()
        );
        let text = serde_json::to_string(&map.data)?;
        ensure!(at == "victim/secret" || !text.contains(SECRET), "{at} holds the victim's bytes");
        let labels = map.metadata.labels.iter().flatten();
        if labels.clone().any(|(key, _)| key == configmapsync::names::LABEL_SYNC_UID) {
            marked.push(at);
        }
    }
    marked.sort();
    ensure!(marked == expected, "copies: {marked:?} instead of {expected:?}");
    let secret = world.fixture().config_map("victim", "secret").await?.context("no secret left")?;
    ensure!(secret.data.unwrap_or_default()["key"] == SECRET);
    Ok(())
}

#[tokio::test]
async fn absent_and_forbidden_sources_are_refused_in_the_same_words() -> Result<()> {
    let (world, tenant) = stage().await?;
    let attempt = |namespace: &str| {
        let differs = json!({"sourceNamespace": namespace, "configMapName": "secret"});
        let body = sync("probe", &spec(&differs));
        Attempt::create(format!("copy {namespace}/secret"), syncs("tenant"), body)
    };
    let mut table = AttemptTable::default();
    let present = table.add(("tenant", &tenant), &attempt("victim"), REFUSED).await?;
    world.fixture().delete_config_map("victim", "secret").await?;
    let absent = table.add(("tenant", &tenant), &attempt("victim"), REFUSED).await?;
    let nowhere = table.add(("tenant", &tenant), &attempt("nowhere"), REFUSED).await?;
    table.finish()?;
    ensure!(present == absent, "{present}\n{absent}");
    ensure!(nowhere.message.replace("nowhere", "victim") == absent.message, "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn whoever_has_the_rights_may_write_what_they_allow() -> Result<()> {
    let (world, tenant) = stage().await?;
    let control_plane = &world.control_plane;
    let gift =
        sync("gift", &spec(&json!({"sourceNamespace": "victim", "configMapName": "secret"})));
    let ask = |what: &str| Attempt::create(what, syncs("tenant"), gift.clone());
    let mut table = AttemptTable::default();
    table.add(("tenant", &tenant), &ask("copy victim/secret"), REFUSED).await?;

    // The victim's administrator gives its consent, as always, by RBAC.
    let right =
        Right { namespace: Some("victim"), group: "", resource: "configmaps", verb: "list" };
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["secret"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
    ]);
    control_plane.grant("tenant", Some("victim"), rules, right).await?;
    table.add(("tenant", &tenant), &ask("copy victim/secret, with the right"), Passes).await?;
    world.fixture().wait_data("tenant", "copy", &[("key", SECRET)], SOON).await?;

    let robot = control_plane.person("robot").await?;
    let everywhere = Right { namespace: None, group: "", resource: "configmaps", verb: "delete" };
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
    for (what, differs) in [("copy into victim", to_victim), ("copy everywhere", all)] {
        let attempt = Attempt::apply(what, &at, sync("robots", &spec(&differs)));
        table.add(robot, &attempt, Passes).await?;
    }
    world.fixture().wait_data("victim", "copy", &[("key", "mine")], SOON).await?;
    table.add(robot, &Attempt::delete("delete it", &at), Passes).await?;
    world.fixture().wait_no_config_map("victim", "copy", SOON).await?;
    table.finish()
}

#[tokio::test]
async fn a_cluster_administrator_is_asked_for_nothing() -> Result<()> {
    let (world, _) = stage().await?;
    let fixture = world.fixture();
    fixture.create_sync("tenant", "sync", one_to_one("victim", "secret", "tenant")).await?;
    fixture.wait_data("tenant", "secret", &[("key", SECRET)], SOON).await?;
    let admin = world.control_plane.client();
    let at = format!("{}/secret", config_maps("victim"));
    let edit = Attempt::merge("edit the source", at, json!({"data": {"key": "new"}}));
    ensure!(edit.by(&admin).await?.passed());
    fixture.wait_data("tenant", "secret", &[("key", "new")], SOON).await?;
    Ok(())
}
