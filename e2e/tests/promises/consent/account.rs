//! With a ServiceAccount, the author needs permission to impersonate it, and the operator checks what
//! it may do. Without one, or once it is removed, the author's own permissions count.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::attempt::Attempt;
use harness::attempt::syncs;
use harness::fixture::SOON;
use serde_json::Value;
use serde_json::json;
use testbed::users::Permission;

use crate::consent::support::REFUSED;
use crate::consent::support::cluster_with_tenant;
use crate::consent::support::ensure_nothing_leaked;
use crate::consent::support::manifest;
use crate::consent::support::spec;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Code;
use crate::support::attempt_table::Expected::Passes;
use crate::support::conditions::message;

fn by_account(patch: &Value) -> Value {
    let mut spec = spec(patch);
    json_patch::merge(&mut spec, &json!({"serviceAccountName": "default"}));
    spec
}

#[tokio::test]
async fn authors_use_no_account_that_they_may_not_impersonate() -> Result<()> {
    let (cluster, _) = cluster_with_tenant().await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    let plain = control_plane.user_client("plain").await?;
    let last = Permission {
        namespace: Some("tenant"),
        group: "apps.nishaf.info",
        resource: "configmapsyncs",
        verb: "update",
    };
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update", "delete"]},
        {"apiGroups": ["apps.nishaf.info"], "resources": ["configmapsyncs"],
         "verbs": ["get", "create", "patch", "update"]},
    ]);
    control_plane.grant("plain", Some("tenant"), rules, last).await?;
    let plain = ("plain", &plain);
    let (all, mine) = (syncs("tenant"), format!("{}/mine", syncs("tenant")));
    let mut table = AttemptTable::default();
    let create = |what: &str, name: &str, spec: &Value| {
        Attempt::create(what, syncs("tenant"), manifest(name, spec))
    };
    table.add(plain, &create("create: own copy", "mine", &spec(&json!({}))), Passes).await?;
    fixture.wait_reason("tenant", "mine", "Synced", SOON).await?;

    let account = json!({"spec": {"serviceAccountName": "default"}});
    let full = by_account(&json!({}));
    let mut generated = manifest("x", &full);
    generated["metadata"] = json!({"generateName": "x-"});
    let replaced = json!([{"op": "replace", "path": "/spec", "value": full}]);
    let added = json!([{"op": "add", "path": "/spec/serviceAccountName", "value": "none"}]);
    let new = format!("{all}/probe");
    for attempt in [
        create("create", "probe", &full),
        Attempt::create("create by generateName", &all, generated),
        Attempt::create("dry run", format!("{all}?dryRun=All"), manifest("probe", &full)),
        Attempt::apply("apply a new one", &new, manifest("probe", &full)),
        Attempt::apply("apply", &mine, manifest("mine", &full)),
        Attempt::merge("merge patch", &mine, account.clone()),
        Attempt::patch("JSON patch of the spec", &mine, replaced),
        Attempt::patch("JSON patch of an account that does not exist", &mine, added),
    ] {
        let refused = table.add(plain, &attempt, REFUSED).await?;
        ensure!(refused.message.contains("impersonate ServiceAccount tenant/"), "{refused}");
    }
    // An administrator sets the account: every other change needs it, too, and its removal does not.
    let admin = cluster.control_plane.client();
    let admin = ("admin", &admin);
    table.add(admin, &Attempt::merge("admin sets it", &mine, account), Passes).await?;
    let keys = json!({"spec": {"keys": ["key"]}});
    table.add(plain, &Attempt::merge("change another field", &mine, keys), REFUSED).await?;
    let victim = json!({"spec": {"serviceAccountName": null, "sourceNamespace": "victim",
        "configMapName": "secret"}});
    table.add(plain, &Attempt::merge("remove it, other source", &mine, victim), REFUSED).await?;
    let removed = json!({"spec": {"serviceAccountName": null}});
    table.add(plain, &Attempt::merge("remove it", &mine, removed), Passes).await?;
    for invalid in ["", "victim/default", "system:serviceaccount:victim:default"] {
        let invalid = json!({"spec": {"serviceAccountName": invalid}});
        table.add(admin, &Attempt::merge("an invalid name", &mine, invalid), Code(422)).await?;
    }
    fixture.wait_reason("tenant", "mine", "Synced", SOON).await?;
    table.finish()?;
    ensure_nothing_leaked(&cluster, &["tenant/copy"]).await
}

#[tokio::test]
async fn an_account_reaches_no_other_namespace() -> Result<()> {
    let (cluster, tenant) = cluster_with_tenant().await?;
    let fixture = cluster.fixture();
    let last =
        Permission { namespace: Some("tenant"), group: "", resource: "configmaps", verb: "delete" };
    let user = "system:serviceaccount:tenant:default";
    cluster.control_plane.bind(user, Some("tenant"), "ClusterRole", "edit", last).await?;
    let mut table = AttemptTable::default();
    let sources = json!({"sourceNamespace": "victim", "configMapName": "secret"});
    let goals = [
        ("source", sources),
        ("destination", json!({"destinationNamespace": "victim"})),
        (
            "occupied",
            json!({"destinationNamespace": "victim", "destinationName": "secret",
            "conflictPolicy": "Adopt"}),
        ),
        ("system", json!({"destinationNamespace": "kube-system"})),
        ("everywhere", json!({"destinationNamespace": null, "destinationNamespaceSelector": {}})),
    ];
    for (name, patch) in &goals {
        let create = Attempt::create(
            format!("create with an account: {name}"),
            syncs("tenant"),
            manifest(name, &by_account(patch)),
        );
        // The tenant is admin of its namespace, and may impersonate the account.
        table.add(("tenant", &tenant), &create, Passes).await?;
        let sync = fixture.wait_reason("tenant", name, "NotPermitted", SOON).await?;
        ensure!(message(&sync).contains("ServiceAccount tenant/default"), "{}", message(&sync));
    }
    table.finish()?;
    // One of the selected namespaces is its own.
    fixture.wait_data("tenant", "copy", &[("key", "mine")], SOON).await?;
    ensure_nothing_leaked(&cluster, &["tenant/copy"]).await?;
    let secret = fixture.config_map("victim", "secret").await?.context("no secret")?;
    ensure!(secret.metadata.labels.is_none(), "{secret:?}");
    Ok(())
}
