//! A cluster with a tenant and a victim, and ConfigMapSyncs of the tenant.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_CONSENT;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::users::Permission;

use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::RefusedBy;
/// Data that only the namespace `victim` holds.
pub const SECRET: &str = "bytes-of-the-victim";
pub const REFUSED: Expected<'static> = RefusedBy(POLICY_CONSENT);

/// The spec of a copy of `tenant/own` in its own namespace, with a merge patch applied.
pub fn spec(patch: &Value) -> Value {
    let mut spec = json!({
        "sourceNamespace": "tenant",
        "configMapName": "own",
        "destinationNamespace": "tenant",
        "destinationName": "copy",
    });
    json_patch::merge(&mut spec, patch);
    spec
}

/// The manifest of the ConfigMapSync `tenant/NAME`.
pub fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": name, "namespace": "tenant"},
        "spec": spec,
    })
}

/// A cluster with a replica, the namespaces `victim` and `tenant`, and the client of a user who is
/// `admin` of `tenant` only.
pub async fn cluster_with_tenant() -> Result<(OperatorCluster, Client)> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["tenant", "victim"]).await?;
    fixture.create_config_map("victim", "secret", &[("key", SECRET)]).await?;
    fixture.create_config_map("tenant", "own", &[("key", "mine")]).await?;
    let control_plane = &cluster.control_plane;
    let tenant = control_plane.user_client("tenant").await?;
    // Aggregation adds permissions for our kind to the ClusterRole `admin`.
    let last = Permission {
        namespace: Some("tenant"),
        group: "apps.nishaf.info",
        resource: "configmapsyncs",
        verb: "update",
    };
    control_plane.bind("tenant", Some("tenant"), "ClusterRole", "admin", last).await?;
    Ok((cluster, tenant))
}

/// Fails unless the data of `victim` is unchanged and in no other namespace, and exactly the
/// `expected` copies exist.
pub async fn ensure_nothing_leaked(cluster: &OperatorCluster, expected: &[&str]) -> Result<()> {
    let all = Api::<ConfigMap>::all(cluster.control_plane.client());
    let found = all.list(&ListParams::default()).await?.items;
    let mut copies = Vec::new();
    for map in &found {
        let at = format!(
            "{}/{}",
            map.metadata.namespace.as_deref().unwrap_or_default(),
            map.metadata.name.as_deref().unwrap_or_default()
        );
        let text = serde_json::to_string(&map.data)?;
        ensure!(
            at == "victim/secret" || !text.contains(SECRET),
            "{at} holds data of victim/secret"
        );
        let labels = map.metadata.labels.iter().flatten();
        if labels.clone().any(|(key, _)| key == configmapsync::names::LABEL_SYNC_UID) {
            copies.push(at);
        }
    }
    copies.sort();
    ensure!(copies == expected, "copies: {copies:?}, expected: {expected:?}");
    let secret = cluster
        .fixture()
        .config_map("victim", "secret")
        .await?
        .context("victim/secret was deleted")?;
    ensure!(secret.data.unwrap_or_default()["key"] == SECRET);
    Ok(())
}
