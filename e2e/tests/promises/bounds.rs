//! A stolen token of the operator's ServiceAccount can write and delete only ConfigMaps with our
//! label, none in protected namespaces, and expires with the pod that it is bound to.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_BOUNDS;
use configmapsync::policies::Operator;
use configmapsync::policies::bounds;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Pod;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::Passes;
use crate::support::attempt_table::Expected::RefusedBy;

const REFUSED: Expected<'static> = RefusedBy(POLICY_BOUNDS);
/// The API server caches a successful token review for ten seconds.
const TOKEN_CACHE_EXPIRY: Duration = Duration::from_secs(30);
const PROTECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", OPERATOR];

fn config_map(name: &str, labelled: bool) -> Value {
    let labels = if labelled { json!({LABEL_SYNC_UID: "1-2"}) } else { json!({}) };
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"key": "value"},
    })
}

#[tokio::test]
async fn operator_token_writes_only_copies() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["app"]).await?;
    for name in ["foreign", "adopted"] {
        fixture.create_config_map("app", name, &[("key", "theirs")]).await?;
    }
    let published = |_: &ConfigMap| true;
    fixture
        .wait_config_map("app", "kube-root-ca.crt", "app/kube-root-ca.crt exists", SOON, published)
        .await?;
    let pod = Pod::create(&cluster.control_plane, "thief", None).await?;
    let thief = pod.client().await?;
    let thief = ("the operator's token", &thief);
    let all = config_maps("app");
    let at = |name: &str| format!("{all}/{name}");
    let edit = json!({"data": {"key": "stolen"}});
    let label = |value: Value| json!({"metadata": {"labels": {LABEL_SYNC_UID: value}}});

    let mut table = AttemptTable::default();
    for (attempt, expected) in [
        (Attempt::create("create without our label", &all, config_map("mine", false)), REFUSED),
        (Attempt::merge("edit without our label", at("foreign"), edit.clone()), REFUSED),
        (Attempt::merge("edit kube-root-ca.crt", at("kube-root-ca.crt"), edit.clone()), REFUSED),
        (Attempt::delete("delete without our label", at("foreign")), REFUSED),
        (Attempt::create("create a copy", &all, config_map("copy", true)), Passes),
        (Attempt::merge("edit a copy", at("copy"), edit), Passes),
        (Attempt::merge("adopt", at("adopted"), label(json!("1-2"))), Passes),
        (Attempt::merge("release", at("adopted"), label(Value::Null)), Passes),
        (Attempt::delete("delete a released copy", at("adopted")), REFUSED),
        (Attempt::delete("delete a copy", at("copy")), Passes),
    ] {
        table.add(thief, &attempt, expected).await?;
    }
    table.finish()
}

#[tokio::test]
async fn operator_token_writes_nothing_in_protected_namespaces() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let pod = Pod::create(&cluster.control_plane, "thief", None).await?;
    let (thief, admin) = (pod.client().await?, cluster.control_plane.client());
    let thief = ("the operator's token", &thief);
    let mut table = AttemptTable::default();
    for namespace in PROTECTED {
        let all = config_maps(namespace);
        let create = Attempt::create(format!("create in {namespace}"), &all, config_map("a", true));
        table.add(thief, &create, REFUSED).await?;
        table.add(("administrator", &admin), &create, Passes).await?;
        let at = format!("{all}/a");
        let edit = json!({"data": {"key": "stolen"}});
        let edit = Attempt::merge(format!("edit in {namespace}"), &at, edit);
        table.add(thief, &edit, REFUSED).await?;
        let delete = Attempt::delete(format!("delete in {namespace}"), &at);
        table.add(thief, &delete, REFUSED).await?;
    }
    table.finish()
}

#[tokio::test]
async fn a_glob_protects_each_namespace_that_it_matches() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    let protected = ["openshift-config", "team-a-prod", "vault"];
    let free = ["openshift", "my-openshift-config", "team-prod", "vault-2"];
    fixture.create_namespaces(&protected).await?;
    fixture.create_namespaces(&free).await?;
    let protected_namespaces = "openshift-*,team-*-prod,vault".to_owned();
    let operator = Operator { protected_namespaces, ..Operator::default() };
    control_plane.apply(serde_json::to_value(bounds(&operator).policy)?).await?;
    let pod = Pod::create(control_plane, "thief", None).await?;
    let thief = pod.client().await?;
    let create = |namespace: &str| {
        let all = config_maps(namespace);
        Attempt::create(format!("create in {namespace}"), all, config_map("a", true))
    };
    until("the new policy is enforced", SOON, || async {
        let response = create("vault").send_as(&thief).await?;
        Ok(Seen::from_bool(response.is_refused_by(POLICY_BOUNDS), || response.to_string()))
    })
    .await?;
    let mut table = AttemptTable::default();
    for namespace in protected {
        table.add(("the operator's token", &thief), &create(namespace), REFUSED).await?;
    }
    for namespace in free {
        table.add(("the operator's token", &thief), &create(namespace), Passes).await?;
    }
    table.finish()
}

#[tokio::test]
async fn operator_token_expires_with_its_pod() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let pod = Pod::create(&cluster.control_plane, "thief", None).await?;
    let maps = Api::<ConfigMap>::namespaced(pod.client().await?, "default");
    let all = ListParams::default();
    maps.list(&all).await.context("listing ConfigMaps with the token of an existing pod")?;
    let pods = Api::<PodObject>::namespaced(cluster.control_plane.client(), OPERATOR);
    pods.delete(&pod.name, &DeleteParams::default().grace_period(0)).await?;
    until("the token of a deleted pod is refused", TOKEN_CACHE_EXPIRY, || async {
        let response = maps.list(&all).await.map(|list| list.items.len());
        let is_refused = matches!(&response, Err(kube::Error::Api(status)) if status.code == 401);
        Ok(Seen::from_bool(is_refused, || format!("{response:?}")))
    })
    .await
}
