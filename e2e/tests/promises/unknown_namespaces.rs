//! A list of namespaces that is empty or incomplete deletes nothing: a copy in a namespace that is
//! not known is left alone, also if it is an orphan. A known namespace that no longer matches the
//! selector loses its copy.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::copy_writes_in;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::orphan_collection::COLLECTED;
use crate::support::orphan_collection::fast_collection;

/// Starts a replica behind a proxy, with copies of `central/shared` in `one` and `two`, which the
/// ConfigMapSync `central/sync` selects by the label `team`; then stops the replica.
async fn stopped_with_copies() -> Result<(OperatorCluster, FaultProxy, Fixture)> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for name in ["one", "two"] {
        fixture.create_labelled_namespace(name, &[("team", "a")]).await?;
    }
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;
    cluster.replicas[0].terminate_and_wait().await?;
    Ok((cluster, proxy, fixture))
}

/// From now on, lists of namespaces contain only those that exist now and that `is_listed` accepts.
async fn limit_lists(
    fixture: &Fixture,
    proxy: &FaultProxy,
    is_listed: impl Fn(&str) -> bool,
) -> Result<()> {
    let namespaces = Api::<Namespace>::all(fixture.client());
    let mut list = namespaces.list_metadata(&ListParams::default()).await?;
    list.items.retain(|namespace| namespace.metadata.name.as_deref().is_some_and(&is_listed));
    let items: Vec<_> = list.items.iter().map(|it| json!({"metadata": it.metadata})).collect();
    let body = json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list.metadata,
        "items": items,
    });
    let list = CannedResponse { status: 200, retry_after: None, body: body.to_string() };
    let rule = Rule::new(Fault::Respond(list)).method(Method::GET).resource("namespaces");
    proxy.add(rule.when(|request| !request.is_watch()).always());
    Ok(())
}

/// Waits until the ConfigMapSync `central/sync` counts this many copies as desired.
async fn wait_desired(fixture: &Fixture, desired: i64) -> Result<()> {
    let what = format!("the status counts {desired} desired copies");
    let counts = |sync: &ConfigMapSync| {
        let copies = sync.status.as_ref().and_then(|status| status.copies);
        copies.is_some_and(|copies| (copies.desired, copies.failed) == (desired, 0))
    };
    fixture.wait_sync("central", "sync", &what, SOON, counts).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

async fn copy_in(fixture: &Fixture, namespace: &str) -> Result<ConfigMap> {
    let copy = fixture.config_map(namespace, "shared").await?;
    copy.with_context(|| format!("the copy in {namespace} is gone"))
}

#[tokio::test]
async fn an_empty_list_of_namespaces_deletes_no_copies() -> Result<()> {
    let (mut cluster, proxy, fixture) = stopped_with_copies().await?;
    limit_lists(&fixture, &proxy, |_| false).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replicas[0].restart()?;
    wait_desired(&fixture, 0).await?;
    for namespace in ["one", "two"] {
        copy_in(&fixture, namespace).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    // A copy that is left alone does not prevent the deletion of its ConfigMapSync.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn copies_in_namespaces_missing_from_a_list_are_kept() -> Result<()> {
    let (mut cluster, proxy, fixture) = stopped_with_copies().await?;
    let before = copy_in(&fixture, "two").await?;
    fixture.label_namespace("one", &json!({"team": "b"})).await?;
    limit_lists(&fixture, &proxy, |name| name != "two").await?;
    let mark = cluster.audit().mark().await?;
    cluster.replicas[0].restart()?;
    // Known, and no longer selected: deleted. Unknown: left alone.
    fixture.wait_no_config_map("one", "shared", SOON).await?;
    wait_desired(&fixture, 0).await?;
    let kept = copy_in(&fixture, "two").await?;
    ensure!(kept.metadata.resource_version == before.metadata.resource_version, "{kept:?}");
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "two");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    // Once the watch delivers the namespace, its copy is kept up to date again.
    fixture.label_namespace("two", &json!({"other": "label"})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let followed = fixture.wait_data("two", "shared", &[("a", "2")], SOON).await?;
    ensure!(followed.metadata.uid == before.metadata.uid, "the copy was recreated");
    wait_desired(&fixture, 1).await?;
    Ok(())
}

#[tokio::test]
async fn orphans_in_unknown_namespaces_are_kept_until_adopted() -> Result<()> {
    let (mut cluster, proxy, fixture) = stopped_with_copies().await?;
    let before = copy_in(&fixture, "two").await?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    fixture.label_namespace("one", &json!({"team": "b"})).await?;
    limit_lists(&fixture, &proxy, |name| name != "two").await?;
    cluster.replicas.clear();
    let options = Options { server: Some(proxy.url()), ..fast_collection("1s") };
    let replica = Replica::start(&cluster.control_plane, "collecting", &options).await?;
    cluster.replicas.push(replica);
    // No ConfigMapSync adopts the one in the known namespace; both are due at the same time.
    fixture.wait_no_config_map("one", "shared", COLLECTED).await?;
    wait_desired(&fixture, 0).await?;
    // A sync elsewhere is reconciled after the collection.
    fixture.create_sync("central", "later", one_to_one("central", "shared", "one")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;
    let kept = copy_in(&fixture, "two").await?;
    ensure!(kept.metadata.resource_version == before.metadata.resource_version, "{kept:?}");

    fixture.label_namespace("two", &json!({"other": "label"})).await?;
    wait_desired(&fixture, 1).await?;
    let adopted = copy_in(&fixture, "two").await?;
    ensure!(adopted.metadata.uid == before.metadata.uid, "the copy was recreated");
    Ok(())
}
