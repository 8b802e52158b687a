//! The admission policy `configmapsync-marks`: only the operator sets or changes ownership markers.
//! Permissions on ConfigMaps in a namespace do not suffice to set a marker, but do to remove one.
//! Cluster administrators, and backup tools with their permissions, may set markers.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::decide::Markers;
use configmapsync::names::ANNOTATION_NO_COPY;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_MARKS;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use serde_json::Value;
use serde_json::json;
use testbed::users::Permission;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::Passes;
use crate::support::attempt_table::Expected::RefusedBy;

const REFUSED: Expected<'static> = RefusedBy(POLICY_MARKS);

/// A cluster without a running operator, which would repair the copy, with the copy `tenant/copy`.
async fn cluster_with_copy() -> Result<(OperatorCluster, ConfigMap)> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["tenant"]).await?;
    fixture.create_config_map("tenant", "own", &[("key", "mine")]).await?;
    let copy = fixture.restore_copy("tenant", "copy", "central/sync", "1-2").await?;
    Ok((cluster, copy))
}

/// A client of a user with these verbs on ConfigMaps in the namespace `tenant`.
async fn tenant(cluster: &OperatorCluster, name: &str, verbs: &[&str]) -> Result<Client> {
    let client = cluster.control_plane.user_client(name).await?;
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": verbs}]);
    let permission =
        Permission { namespace: Some("tenant"), group: "", resource: "configmaps", verb: "patch" };
    cluster.control_plane.grant(name, Some("tenant"), rules, permission).await?;
    Ok(client)
}

/// For each marker, its key and metadata that set only this marker to `value`.
fn single_markers(value: &Value) -> Vec<(&'static str, Value)> {
    let annotations = Markers::ANNOTATIONS.map(|key| (key, json!({"annotations": {key: value}})));
    let label = (LABEL_SYNC_UID, json!({"labels": {LABEL_SYNC_UID: value}}));
    [vec![label], annotations.to_vec()].concat()
}

fn config_map(name: &str, metadata: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"key": "forged"},
    });
    json_patch::merge(&mut object["metadata"], metadata);
    object
}

#[tokio::test]
async fn other_users_cannot_add_or_change_markers() -> Result<()> {
    let (cluster, copy) = cluster_with_copy().await?;
    // Every permission in one namespace, by wildcards; and no more than reading and updating.
    let owner = tenant(&cluster, "owner", &["*"]).await?;
    let editor = tenant(&cluster, "editor", &["get", "update", "patch"]).await?;
    let (owner, editor) = (("owner of a namespace", &owner), ("editor", &editor));
    let all = config_maps("tenant");
    let (own, copied) = (format!("{all}/own"), format!("{all}/copy"));
    let mut table = AttemptTable::default();
    for (key, metadata) in single_markers(&json!("forged")) {
        let create =
            Attempt::create(format!("create with {key}"), &all, config_map("forged", &metadata));
        table.add(owner, &create, REFUSED).await?;
        let apply = Attempt::apply(
            format!("apply with {key}"),
            format!("{all}/forged"),
            config_map("forged", &metadata),
        );
        table.add(owner, &apply, REFUSED).await?;
        for who in [owner, editor] {
            let patch = json!({"metadata": metadata});
            let add = Attempt::merge(format!("add {key}"), &own, patch.clone());
            table.add(who, &add, REFUSED).await?;
            let change = Attempt::merge(format!("change {key} of a copy"), &copied, patch);
            table.add(who, &change, REFUSED).await?;
        }
        let put =
            Attempt::replace(format!("replace with {key}"), &own, config_map("own", &metadata));
        table.add(editor, &put, REFUSED).await?;
    }

    let mut clone = config_map("clone", &json!({}));
    clone["metadata"]["labels"] = json!(copy.metadata.labels);
    clone["metadata"]["annotations"] = json!(copy.metadata.annotations);
    let answer = table.add(owner, &Attempt::create("clone a copy", &all, clone), REFUSED).await?;
    for key in [&[LABEL_SYNC_UID], &Markers::ANNOTATIONS[..]].concat() {
        ensure!(answer.message.contains(key), "the message does not name {key}: {answer}");
    }
    table.finish()
}

#[tokio::test]
async fn other_writes_of_copies_are_admitted() -> Result<()> {
    let (cluster, _) = cluster_with_copy().await?;
    let owner = tenant(&cluster, "owner", &["*"]).await?;
    let owner = ("owner of a namespace", &owner);
    let all = config_maps("tenant");
    let copy = format!("{all}/copy");
    let mut table = AttemptTable::default();
    let no_copy = json!({"annotations": {ANNOTATION_NO_COPY: "true"}});
    let same_prefix = json!({"labels": {"apps.nishaf.info/team": "a"}});
    for (what, metadata) in [("no-copy", no_copy), ("another key of the prefix", same_prefix)] {
        let name = what.replace(' ', "-");
        let create =
            Attempt::create(format!("create with {what}"), &all, config_map(&name, &metadata));
        table.add(owner, &create, Passes).await?;
        let add = Attempt::merge(format!("add {what}"), &copy, json!({"metadata": metadata}));
        table.add(owner, &add, Passes).await?;
    }
    for (what, patch) in [
        ("edit the data of a copy", json!({"data": {"a": "edited"}})),
        ("label a copy", json!({"metadata": {"labels": {"a": "b"}}})),
        ("annotate a copy", json!({"metadata": {"annotations": {"a": "b"}}})),
    ] {
        table.add(owner, &Attempt::merge(what, &copy, patch), Passes).await?;
    }
    let found = cluster.fixture().config_map("tenant", "copy").await?.context("no copy")?;
    let put =
        Attempt::replace("replace a copy without changes", &copy, serde_json::to_value(&found)?);
    table.add(owner, &put, Passes).await?;

    for (key, metadata) in single_markers(&Value::Null) {
        let remove = json!({"metadata": metadata});
        let remove = Attempt::merge(format!("remove {key} from a copy"), &copy, remove);
        table.add(owner, &remove, Passes).await?;
    }
    let back = Attempt::merge(
        "restore the label",
        &copy,
        json!({"metadata": {"labels": {LABEL_SYNC_UID: "1-2"}}}),
    );
    table.add(owner, &back, REFUSED).await?;
    cluster.fixture().restore_copy("tenant", "second", "central/sync", "1-2").await?;
    let second = format!("{all}/second");
    table.add(owner, &Attempt::delete("delete a copy", second), Passes).await?;
    table.finish()
}

#[tokio::test]
async fn the_stamp_permission_allows_setting_markers() -> Result<()> {
    let (cluster, copy) = cluster_with_copy().await?;
    let control_plane = &cluster.control_plane;
    let permission =
        Permission { namespace: None, group: "", resource: "configmaps", verb: "create" };
    let maps = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]});
    let stamp = json!({"apiGroups": ["apps.nishaf.info"], "resources": ["configmapsyncs"], "verbs": ["stamp"]});
    let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let mut table = AttemptTable::default();
    for (name, rules, expected) in [
        ("writer", json!([maps]), REFUSED),
        ("stamper", json!([maps, stamp]), Passes),
        ("backup", json!([all]), Passes),
    ] {
        let client = control_plane.user_client(name).await?;
        control_plane.grant(name, None, rules, permission).await?;
        let mut restored = config_map(&format!("by-{name}"), &json!({}));
        restored["metadata"]["labels"] = json!(copy.metadata.labels);
        restored["metadata"]["annotations"] = json!(copy.metadata.annotations);
        let attempt = Attempt::create("restore a copy", config_maps("tenant"), restored);
        table.add((name, &client), &attempt, expected).await?;
    }
    table.finish()
}
