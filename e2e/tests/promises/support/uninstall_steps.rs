//! Steps of the tests of `uninstall`: objects to be uninstalled, and the command itself.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConflictPolicy;
use configmapsync::api::DeletionPolicy;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinHandle;

/// The finalizer of another tool.
pub const OTHER_FINALIZER: &str = "example.test/held";

/// Concurrent creates.
const CONCURRENT: usize = 16;

/// Runs `uninstall` as a cluster administrator, without a terminal for questions.
pub async fn uninstall(cluster: &OperatorCluster, arguments: &[&str]) -> Result<CommandResult> {
    let arguments = [&["uninstall"], arguments].concat();
    configmapsync(cluster.control_plane.kubeconfig(), &arguments).await
}

/// A running `uninstall`.
pub struct Running(JoinHandle<Result<CommandResult>>);

/// Starts `uninstall` in the background.
pub async fn start_uninstall(cluster: &OperatorCluster, arguments: &[&str]) -> Result<Running> {
    harness::replica::operator_binary().await?;
    let kubeconfig = cluster.control_plane.kubeconfig().to_owned();
    let arguments = [&["uninstall"], arguments].concat();
    let arguments: Vec<_> = arguments.into_iter().map(ToOwned::to_owned).collect();
    Ok(Running(tokio::spawn(async move {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        configmapsync(&kubeconfig, &arguments).await
    })))
}

impl Running {
    /// Waits until the command exits.
    pub async fn wait(self) -> Result<CommandResult> {
        self.0.await.context("waiting for uninstall")?
    }
}

/// Creates three ConfigMapSyncs with copies in `app`: `made`, which the operator has created and
/// whose ConfigMapSync has a second finalizer; `retained`, with `deletionPolicy: Retain`; and
/// `adopted`.
pub async fn create_copies_of_each_kind(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app", "other"]).await?;
    fixture.create_config_map("app", "adopted", &[("a", "theirs")]).await?;
    for name in ["made", "retained", "adopted"] {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        let mut spec = one_to_one("central", name, "app");
        match name {
            "retained" => spec.deletion_policy = DeletionPolicy::Retain,
            "adopted" => spec.conflict_policy = ConflictPolicy::Adopt,
            _ => {}
        }
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let held = json!({"metadata": {"finalizers": [names::FINALIZER, OTHER_FINALIZER]}});
    fixture.patch_sync("central", "made", &held).await?;
    Ok(())
}

/// Stops the replica and deletes its pod, as a kubelet does.
pub async fn stop_operator(cluster: &mut OperatorCluster) -> Result<()> {
    let replica = cluster.take_leader().await?;
    replica.terminate_and_wait().await?;
    let pods = Api::<Pod>::namespaced(cluster.control_plane.client(), OPERATOR);
    pods.delete(&replica.pod().name, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// Creates a Deployment whose selector matches the pods of the replicas. Its controller does not
/// run.
pub async fn start_deployment(cluster: &OperatorCluster, name: &str, replicas: i32) -> Result<()> {
    let labels = json!({"app.kubernetes.io/name": OPERATOR});
    let container = json!({"name": OPERATOR, "image": OPERATOR});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": OPERATOR},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    });
    cluster.control_plane.apply(deployment).await?;
    Ok(())
}

/// The replicas in the spec of a Deployment.
pub async fn replicas(fixture: &Fixture, name: &str) -> Result<i32> {
    let api = Api::<Deployment>::namespaced(fixture.client(), OPERATOR);
    api.get(name)
        .await?
        .spec
        .and_then(|spec| spec.replicas)
        .context("the Deployment has no replicas")
}

/// Creates `count` copies of a ConfigMapSync that no longer exists.
pub async fn create_orphans(
    fixture: &Fixture,
    namespace: &str,
    sync: &str,
    count: usize,
) -> Result<()> {
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENT, async |number| {
            let name = format!("copy-{number}");
            fixture.restore_copy(namespace, &name, sync, "lost").await.map(drop)
        })
        .await
}

/// Creates `count` ConfigMapSyncs with the operator's finalizer.
pub async fn create_held_syncs(fixture: &Fixture, count: usize) -> Result<()> {
    let api = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENT, async |number| {
            let spec = one_to_one("central", "shared", "app");
            let mut sync = ConfigMapSync::new(&format!("sync-{number}"), spec);
            sync.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
            api.create(&PostParams::default(), &sync).await?;
            Ok(())
        })
        .await
}

/// Deletes the `CustomResourceDefinition`.
pub async fn delete_crd(fixture: &Fixture) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(fixture.client());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    api.delete(name, &DeleteParams::default()).await?;
    until("the CustomResourceDefinition is gone", SOON, || async {
        let found = api.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.map(|it| it.status))))
    })
    .await
}

/// The finalizers of a ConfigMapSync in `central`.
pub async fn finalizers(fixture: &Fixture, name: &str) -> Result<Vec<String>> {
    let sync = fixture.sync("central", name).await?.with_context(|| format!("{name} is gone"))?;
    Ok(sync.metadata.finalizers.unwrap_or_default())
}

/// The `ConfigMaps` in `app`, without the one that Kubernetes publishes.
pub async fn copies(fixture: &Fixture) -> Result<BTreeMap<NamespacedName, ConfigMap>> {
    let api = Api::<ConfigMap>::namespaced(fixture.client(), "app");
    let listed = api.list(&ListParams::default()).await?.items.into_iter();
    let named = listed.filter_map(|it| {
        let name = it.metadata.name.clone()?;
        (name != names::KUBE_ROOT_CA).then_some((NamespacedName::new("app", name), it))
    });
    Ok(named.collect())
}

/// Whether orphan collection may delete the copy.
pub fn is_deletable(copy: &ConfigMap) -> bool {
    let annotations = copy.metadata.annotations.as_ref();
    annotations.is_some_and(|it| it.contains_key(names::ANNOTATION_DELETION_POLICY))
}

/// What must not change: uid, data, labels, and annotations other than the deletion policy.
pub fn preserved_state(copy: &ConfigMap) -> impl PartialEq + use<> {
    let mut annotations = copy.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(names::ANNOTATION_DELETION_POLICY);
    let data = (copy.data.clone(), copy.binary_data.clone(), copy.immutable);
    (copy.metadata.uid.clone(), copy.metadata.labels.clone(), annotations, data)
}

/// The writes of ConfigMaps and ConfigMapSyncs by the administrator.
pub fn writes_by_admin(events: &[Event]) -> Vec<&Event> {
    let resources = ["configmaps", "configmapsyncs"];
    let written = events.iter().filter(|event| event.is_final() && event.is_write());
    written
        .filter(|event| event.user.username == "admin" && resources.contains(&event.resource()))
        .collect()
}
