//! Protected namespaces are never written: by default those of Kubernetes, or those of
//! `--protected-namespaces`, and always the operator's own. A ConfigMapSync that names one is Stalled;
//! a selector skips them.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::policies::Operator;
use configmapsync::policies::bounds;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;

/// Fails unless each namespace of `protected` is refused as a destination, both for a new
/// ConfigMapSync and for a changed one, and `unprotected` is not.
async fn ensure_protected(
    cluster: &OperatorCluster,
    protected: &[&str],
    unprotected: &str,
) -> Result<()> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "moved", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "moved", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    for namespace in protected {
        fixture
            .create_sync("central", namespace, one_to_one("central", "shared", namespace))
            .await?;
        let elsewhere = json!({"spec": {"destinationNamespace": namespace}});
        fixture.patch_sync("central", "moved", &elsewhere).await?;
        for name in [*namespace, "moved"] {
            let sync = fixture.wait_reason("central", name, "DestinationProtected", SOON).await?;
            let message = message(&sync);
            ensure!(message.contains(&format!("namespace {namespace} is protected")), "{message}");
            let conditions = sync.status.map(|status| status.conditions).unwrap_or_default();
            let stalled = conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True");
            ensure!(stalled, "the ConfigMapSync is not Stalled: {conditions:?}");
        }
    }
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    for namespace in protected {
        fixture.delete_sync("central", namespace).await?;
        fixture.wait_no_sync("central", namespace, SOON).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));

    let elsewhere = json!({"spec": {"destinationNamespace": unprotected}});
    fixture.patch_sync("central", "moved", &elsewhere).await?;
    fixture.wait_reason("central", "moved", "Synced", SOON).await?;
    fixture.wait_data(unprotected, "shared", &[("a", "2")], SOON).await?;
    Ok(())
}

/// The list of [`protecting`]: names and a glob.
const CONFIGURED: &str = "vault,kube-system,openshift-*";

/// A replica that protects the namespaces in [`CONFIGURED`].
fn protecting() -> Options {
    let arguments = ["--protected-namespaces", CONFIGURED].map(str::to_owned).to_vec();
    Options { arguments, ..Options::default() }
}

/// Gives the policy `configmapsync-bounds` the list of [`protecting`].
async fn protect_by_policy(cluster: &OperatorCluster) -> Result<()> {
    let protected_namespaces = format!("{CONFIGURED},{OPERATOR}");
    let operator = Operator { protected_namespaces, ..Operator::default() };
    cluster.control_plane.apply(serde_json::to_value(bounds(&operator).policy)?).await?;
    Ok(())
}

#[tokio::test]
async fn default_protected_namespaces_are_not_written() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let protected = ["kube-system", "kube-public", "kube-node-lease", OPERATOR];
    ensure_protected(&cluster, &protected, "default").await
}

#[tokio::test]
async fn configured_protected_namespaces_are_not_written() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, protecting()).await?;
    cluster.fixture().create_namespaces(&["vault", "openshift-config"]).await?;
    // The policy must have the same list: by default, it would refuse writes to kube-public.
    protect_by_policy(&cluster).await?;
    let protected = ["vault", "openshift-config", "kube-system", OPERATOR];
    ensure_protected(&cluster, &protected, "kube-public").await
}

#[tokio::test]
async fn a_selector_skips_protected_namespaces() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_namespace = None;
    spec.destination_namespace_selector = Some(LabelSelector::default());
    fixture.create_sync("central", "sync", spec).await?;
    // The operator may receive the event of a namespace after that of a later ConfigMapSync.
    let has_both = |sync: &ConfigMapSync| {
        let copies = sync.status.as_ref().and_then(|status| status.copies.as_ref());
        copies.is_some_and(|it| (it.desired, it.ready, it.failed) == (2, 2, 0))
    };
    fixture.wait_sync("central", "sync", "two copies are ready", SOON, has_both).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    for namespace in ["app", "default"] {
        fixture.wait_data(namespace, "shared", &[("a", "2")], SOON).await?;
    }
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes(&events);
    writes.retain(|event| !["app", "default"].contains(&event.namespace()));
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn a_copy_in_a_namespace_protected_later_is_left_alone() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for name in ["app", "vault", "openshift-config"] {
        fixture.create_labelled_namespace(name, &[("team", "a")]).await?;
    }
    fixture.create_sync("central", "selecting", to_selected(with_labels(&[("team", "a")]))).await?;
    let mut named = one_to_one("central", "shared", "vault");
    named.destination_name = Some("named".to_owned());
    fixture.create_sync("central", "named", named).await?;
    let protected = [("vault", "shared"), ("vault", "named"), ("openshift-config", "shared")];
    for (namespace, name) in protected.into_iter().chain([("app", "shared")]) {
        fixture.wait_data(namespace, name, &[("a", "1")], SOON).await?;
    }

    cluster.replica()?.terminate_and_wait().await?;
    cluster.replicas.clear();
    protect_by_policy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    let replica = Replica::start(&cluster.control_plane, "protecting", &protecting()).await?;
    cluster.replicas.push(replica);
    let counts_one = |sync: &ConfigMapSync| {
        let copies = sync.status.as_ref().and_then(|status| status.copies);
        copies.is_some_and(|it| (it.desired, it.ready, it.failed) == (1, 1, 0))
    };
    let what = "only the copy in app counts";
    fixture.wait_sync("central", "selecting", what, SOON, counts_one).await?;
    fixture.wait_reason("central", "selecting", "Synced", SOON).await?;
    fixture.wait_reason("central", "named", "DestinationProtected", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    for name in ["selecting", "named"] {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    for (namespace, name) in protected {
        let left = fixture.config_map(namespace, name).await?.context("the copy was deleted")?;
        let data = left.data.unwrap_or_default();
        ensure!(data.get("a").is_some_and(|value| value == "1"), "{namespace}/{name}: {data:?}");
    }
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes(&events);
    writes.retain(|event| event.namespace() != "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}
