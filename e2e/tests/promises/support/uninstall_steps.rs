//! What is there to be undone.

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

/// Somebody else's finalizer.
pub const HELD: &str = "example.test/held";

/// Creates at a time.
const CONCURRENT: usize = 16;

/// Runs `uninstall` as an administrator, where nobody can be asked.
pub async fn uninstall(world: &OperatorCluster, arguments: &[&str]) -> Result<CommandResult> {
    let arguments = [&["uninstall"], arguments].concat();
    configmapsync(world.control_plane.kubeconfig(), &arguments).await
}

/// A command that is still running.
pub struct Running(JoinHandle<Result<CommandResult>>);

/// Starts `uninstall`, and goes on.
pub async fn in_background(world: &OperatorCluster, arguments: &[&str]) -> Result<Running> {
    harness::replica::operator_binary().await?;
    let kubeconfig = world.control_plane.kubeconfig().to_owned();
    let arguments = [&["uninstall"], arguments].concat();
    let arguments: Vec<_> = arguments.into_iter().map(ToOwned::to_owned).collect();
    Ok(Running(tokio::spawn(async move {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        configmapsync(&kubeconfig, &arguments).await
    })))
}

impl Running {
    /// Waits until it has ended.
    pub async fn ended(self) -> Result<CommandResult> {
        self.0.await.context("waiting for uninstall")?
    }
}

/// Three syncs, and their copies in `app`: one that we made, one to be retained, one that was
/// taken over. Somebody else holds the first sync, too.
pub async fn some_of_each(fixture: &Fixture) -> Result<()> {
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
    let held = json!({"metadata": {"finalizers": [names::FINALIZER, HELD]}});
    fixture.patch_sync("central", "made", &held).await?;
    Ok(())
}

/// Ends the replica and its pod, as a kubelet does.
pub async fn end_operator(world: &mut OperatorCluster) -> Result<()> {
    let replica = world.take_leader().await?;
    replica.terminate_and_wait().await?;
    let pods = Api::<Pod>::namespaced(world.control_plane.client(), OPERATOR);
    pods.delete(&replica.pod().name, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// A Deployment whose pods are those that run: no controller touches it here.
pub async fn start_deployment(world: &OperatorCluster, name: &str, replicas: i32) -> Result<()> {
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
    world.control_plane.apply(deployment).await?;
    Ok(())
}

/// How many replicas a Deployment asks for.
pub async fn replicas(fixture: &Fixture, name: &str) -> Result<i32> {
    let api = Api::<Deployment>::namespaced(fixture.client(), OPERATOR);
    api.get(name).await?.spec.and_then(|spec| spec.replicas).context("a Deployment without a size")
}

/// `count` copies that a `ConfigMapSync` which nobody has seen once made.
pub async fn restored(fixture: &Fixture, namespace: &str, sync: &str, count: usize) -> Result<()> {
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENT, async |number| {
            let name = format!("copy-{number}");
            fixture.restore_copy(namespace, &name, sync, "lost").await.map(drop)
        })
        .await
}

/// `count` syncs that carry our finalizer, and that no operator has seen.
pub async fn held_syncs(fixture: &Fixture, count: usize) -> Result<()> {
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

/// Takes the kind away.
pub async fn delete_kind(fixture: &Fixture) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(fixture.client());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    api.delete(name, &DeleteParams::default()).await?;
    until("the kind is gone", SOON, || async {
        let found = api.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.map(|it| it.status))))
    })
    .await
}

/// The finalizers of a sync in `central`.
pub async fn finalizers(fixture: &Fixture, name: &str) -> Result<Vec<String>> {
    let sync = fixture.sync("central", name).await?.with_context(|| format!("{name} is gone"))?;
    Ok(sync.metadata.finalizers.unwrap_or_default())
}

/// The `ConfigMaps` in `app`, but for the one that Kubernetes publishes.
pub async fn copies(fixture: &Fixture) -> Result<BTreeMap<NamespacedName, ConfigMap>> {
    let api = Api::<ConfigMap>::namespaced(fixture.client(), "app");
    let listed = api.list(&ListParams::default()).await?.items.into_iter();
    let named = listed.filter_map(|it| {
        let name = it.metadata.name.clone()?;
        (name != names::KUBE_ROOT_CA).then_some((NamespacedName::new("app", name), it))
    });
    Ok(named.collect())
}

/// Whether a later sweep may delete it.
pub fn asks_for_deletion(copy: &ConfigMap) -> bool {
    let annotations = copy.metadata.annotations.as_ref();
    annotations.is_some_and(|it| it.contains_key(names::ANNOTATION_DELETION_POLICY))
}

/// All that is to stay: uid, data, and metadata but for what asks for deletion.
pub fn state(copy: &ConfigMap) -> impl PartialEq + use<> {
    let mut annotations = copy.metadata.annotations.clone().unwrap_or_default();
    annotations.remove(names::ANNOTATION_DELETION_POLICY);
    let data = (copy.data.clone(), copy.binary_data.clone(), copy.immutable);
    (copy.metadata.uid.clone(), copy.metadata.labels.clone(), annotations, data)
}

/// What the administrator wrote to ConfigMaps and ConfigMapSyncs.
pub fn writes_by_person(events: &[Event]) -> Vec<&Event> {
    let resources = ["configmaps", "configmapsyncs"];
    let written = events.iter().filter(|event| event.is_final() && event.is_write());
    written
        .filter(|event| event.user.username == "admin" && resources.contains(&event.resource()))
        .collect()
}
