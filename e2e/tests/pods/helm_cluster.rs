//! A cluster with real pods, the chart installed in it by Helm, and queries of its state.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use harness::documented::Shell;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Resource;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::LogParams;
use serde::de::DeserializeOwned;
use serde_json::json;
use testbed::audit::AuditLog;
use testbed::cluster::Cluster;
use testbed::control_plane::ControlPlane;
use testbed::helm;
use testbed::helm::Helm;
use testbed::helm::RELEASE;
use testbed::helm::Version;
use testbed::image;
use testbed::run_folder::RunFolder;
use testbed::tools::Set;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until;

/// The namespace of the source and the ConfigMapSyncs.
pub const SYNCS: &str = "central";
/// The namespace of the copies.
pub const COPIES: &str = "app";
/// How long an installation, a start or a deletion may take on a machine under load.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The cluster and the Helm release in it.
pub struct HelmCluster {
    /// Installs, upgrades, rolls back and uninstalls the release.
    pub helm: Helm,
    version: Version,
    tools: Tools,
    cluster: Cluster,
    fixture: Fixture,
    values: Vec<(&'static str, String)>,
    folder: RunFolder,
}

impl HelmCluster {
    /// Starts a cluster, loads the image, and creates two namespaces and the source.
    pub async fn start() -> Result<Self> {
        let tools = Tools::ensure(&Set::ALL).await?;
        let cluster = Cluster::start(&tools).await?;
        let binary = image::compile(|_| {}).await?;
        let folder = RunFolder::create()?;
        let image = image::build(&binary, folder.path()).await?;
        cluster.load(&image).await?;
        let mut values = helm::image_values(&image.reference);
        values.push(("image.pullPolicy", "Never".to_owned()));
        values.push(("replicaCount", "2".to_owned()));
        values.push(("sweepPeriod", "1s".to_owned()));
        values.push(("orphanGrace", "5s".to_owned()));
        let version = Version::V3;
        let helm = Helm::new(&tools, version, cluster.kubeconfig(), folder.path())?;
        let fixture = Fixture::new(cluster.client());
        fixture.create_namespaces(&[SYNCS, COPIES]).await?;
        fixture.create_config_map(SYNCS, "shared", &[("a", "1")]).await?;
        Ok(Self { helm, version, tools, cluster, fixture, values, folder })
    }

    /// Uses this version of Helm from now on.
    pub fn use_helm(&mut self, version: Version) -> Result<()> {
        let (kubeconfig, home) = (self.cluster.kubeconfig(), self.folder.path());
        self.helm = Helm::new(&self.tools, version, kubeconfig, home)?;
        self.version = version;
        Ok(())
    }

    /// A shell of the cluster administrator.
    pub async fn shell(&self) -> Result<Shell> {
        Shell::with_helm(self.version, self.kubeconfig(), self.folder.path()).await
    }

    /// Installs or upgrades the chart with these additional values, in a namespace with the Pod
    /// Security Standard `restricted`, and waits until all replicas are up to date and ready.
    pub async fn install(&self, values: &[(&'static str, &str)]) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": RELEASE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        self.cluster.control_plane().apply(namespace).await?;
        self.upgrade(values).await?;
        self.wait_ready().await
    }

    /// Upgrades the chart with these additional values, and does not wait.
    pub async fn upgrade(&self, values: &[(&'static str, &str)]) -> Result<()> {
        let mut all = self.values.clone();
        all.extend(values.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.helm.install(&all).await
    }

    /// Waits until all replicas are up to date and ready.
    pub async fn wait_ready(&self) -> Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.fixture.client(), RELEASE);
        until("all replicas are ready", TIMEOUT, || async {
            let found = deployments.get(RELEASE).await?;
            let (wanted, status) = (found.spec.context("no spec")?.replicas, found.status);
            let status = status.unwrap_or_default();
            let is_seen = status.observed_generation == found.metadata.generation;
            let are = (status.ready_replicas, status.updated_replicas, status.replicas);
            let is_done = is_seen && are == (wanted, wanted, wanted);
            Ok(Seen::from_bool(is_done, || format!("{status:?}")))
        })
        .await
    }

    /// Creates `count` ConfigMapSyncs, each with its own destination.
    pub async fn create_syncs(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let mut spec = one_to_one(SYNCS, "shared", COPIES);
            spec.destination_name = Some(format!("copy-{number}"));
            until("a ConfigMapSync can be created", SOON, || async {
                // The CustomResourceDefinition may not be served yet.
                let created = self.fixture.create_sync(SYNCS, &sync(number), spec.clone()).await;
                Ok(Seen::from_option(created.as_ref().ok().map(drop), || format!("{created:?}")))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until `count` ConfigMapSyncs have the operator's finalizer, and `count` copies the
    /// deletion policy.
    pub async fn wait_synced(&self, count: usize) -> Result<()> {
        until(
            format!("{count} ConfigMapSyncs have a finalizer and {count} copies a deletion policy"),
            TIMEOUT,
            || async {
                let held = self.held_syncs().await?;
                let copies = self.copies().await?;
                let deletable = copies.values().filter(|copy| is_deletable(copy)).count();
                let is_done = (held, deletable) == (count, count);
                Ok(Seen::from_bool(is_done, || format!("{held} and {deletable}")))
            },
        )
        .await
    }

    /// How many ConfigMapSyncs have the operator's finalizer.
    pub async fn held_syncs(&self) -> Result<usize> {
        let syncs = self.syncs().list(&ListParams::default()).await?;
        let is_held = |sync: &ConfigMapSync| sync.finalizers().contains(&names::FINALIZER.into());
        Ok(syncs.items.iter().filter(|sync| is_held(sync)).count())
    }

    /// The copies by name, with or without markers.
    pub async fn copies(&self) -> Result<BTreeMap<String, ConfigMap>> {
        let listed = self.config_maps().list(&ListParams::default()).await?;
        let named = listed.items.into_iter().map(|it| (it.name_any(), it));
        Ok(named.filter(|(name, _)| name.starts_with("copy-")).collect())
    }

    /// Uid and data of the copies, by name.
    pub async fn data(&self) -> Result<BTreeMap<String, impl PartialEq + std::fmt::Debug + use<>>> {
        let copies = self.copies().await?.into_iter();
        Ok(copies.map(|(name, it)| (name, (it.metadata.uid, it.data, it.binary_data))).collect())
    }

    /// Deletes these ConfigMapSyncs, and waits until they are gone.
    pub async fn delete_syncs(&self, numbers: Range<usize>) -> Result<()> {
        for number in numbers.clone() {
            self.fixture.delete_sync(SYNCS, &sync(number)).await?;
        }
        for number in numbers {
            self.wait_gone(number, SOON).await?;
        }
        Ok(())
    }

    /// Deletes a ConfigMapSync, without waiting for its finalizer.
    pub async fn start_deletion(&self, number: usize) -> Result<()> {
        self.fixture.delete_sync(SYNCS, &sync(number)).await
    }

    /// Waits until a ConfigMapSync is gone.
    pub async fn wait_gone(&self, number: usize, deadline: Duration) -> Result<()> {
        self.fixture.wait_no_sync(SYNCS, &sync(number), deadline).await
    }

    /// Deletes all copies.
    pub async fn delete_copies(&self) -> Result<()> {
        for name in self.copies().await?.keys() {
            self.fixture.delete_config_map(COPIES, name).await?;
        }
        Ok(())
    }

    /// Deletes the `CustomResourceDefinition`, and waits until it is gone.
    pub async fn delete_crd(&self) -> Result<()> {
        let api = Api::<CustomResourceDefinition>::all(self.fixture.client());
        api.delete(names::CUSTOM_RESOURCE_DEFINITION, &DeleteParams::default()).await?;
        until("the CustomResourceDefinition is gone", TIMEOUT, || async {
            let found = api.get_opt(names::CUSTOM_RESOURCE_DEFINITION).await?;
            Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.map(|it| it.status))))
        })
        .await
    }

    /// Deletes the operator's namespace, and waits until it is gone.
    pub async fn delete_namespace(&self) -> Result<()> {
        self.fixture.delete_namespace(RELEASE).await?;
        self.fixture.wait_no_namespace(RELEASE, TIMEOUT).await
    }

    /// The log of the failed pod of the hook.
    pub async fn log_of_failed_hook(&self) -> Result<String> {
        let api = Api::<Pod>::namespaced(self.fixture.client(), RELEASE);
        let of_hook = ListParams::default().labels("app.kubernetes.io/component=uninstall");
        let pods = api.list(&of_hook).await?;
        let has_failed =
            |pod: &&Pod| pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Failed");
        let pod = pods.items.iter().find(has_failed).context("no pod of the hook has failed")?;
        Ok(api.logs(&pod.name_any(), &LogParams::default()).await?)
    }

    /// Whether the Deployment, `ServiceAccount`, `ClusterRole` and its binding exist.
    pub async fn is_installed(&self) -> Result<bool> {
        let client = self.fixture.client();
        let roles = Api::<ClusterRole>::all(client.clone()).get_opt(RELEASE).await?;
        let bindings = Api::<ClusterRoleBinding>::all(client.clone()).get_opt(RELEASE).await?;
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), RELEASE);
        let deployments = Api::<Deployment>::namespaced(client, RELEASE);
        Ok(roles.is_some()
            && bindings.is_some()
            && accounts.get_opt(RELEASE).await?.is_some()
            && deployments.get_opt(RELEASE).await?.is_some())
    }

    /// Fails unless every object of the release and of the hook is gone, and neither ConfigMapSyncs
    /// nor copies are terminating.
    pub async fn ensure_nothing_remains(&self) -> Result<()> {
        // The pod of a Job is deleted shortly after the Job.
        until("every object of the release is gone", SOON, || async {
            let left = self.installed().await?;
            Ok(Seen::from_bool(left.is_empty(), || format!("left: {left:?}")))
        })
        .await?;
        let is_terminating = |meta: &ObjectMeta| meta.deletion_timestamp.is_some();
        let syncs = self.syncs().list_metadata(&ListParams::default()).await?;
        let copies = self.config_maps().list_metadata(&ListParams::default()).await?;
        let terminating = syncs.items.iter().filter(|it| is_terminating(&it.metadata)).count()
            + copies.items.iter().filter(|it| is_terminating(&it.metadata)).count();
        ensure!(terminating == 0, "{terminating} objects are terminating");
        Ok(())
    }

    /// The names of all objects of the release and of the hook.
    async fn installed(&self) -> Result<Vec<String>> {
        let client = self.fixture.client();
        let roles = Api::<ClusterRole>::all(client.clone()).list(&ListParams::default()).await?;
        let bindings = Api::<ClusterRoleBinding>::all(client).list(&ListParams::default()).await?;
        let names = roles.iter().map(ResourceExt::name_any);
        let names = names.chain(bindings.iter().map(ResourceExt::name_any));
        let mut found: Vec<_> = names.filter(|name| name.starts_with(RELEASE)).collect();
        found.extend(self.named::<Deployment>(RELEASE).await?);
        found.extend(self.named::<Pod>(RELEASE).await?);
        found.extend(self.named::<Job>(RELEASE).await?);
        found.extend(self.named::<ServiceAccount>(RELEASE).await?);
        for namespace in [RELEASE, SYNCS, COPIES] {
            found.extend(self.named::<Role>(namespace).await?);
            found.extend(self.named::<RoleBinding>(namespace).await?);
        }
        // The policy consent stays with the CustomResourceDefinitions.
        let policies = self.policies().await?.into_iter();
        found.extend(policies.filter(|name| name != names::POLICY_CONSENT));
        Ok(found)
    }

    /// The existing admission policies of the release, and their bindings.
    pub async fn policies(&self) -> Result<Vec<String>> {
        let (client, all) = (self.fixture.client(), ListParams::default());
        let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone()).list(&all).await?;
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client).list(&all).await?;
        let names = policies.iter().map(ResourceExt::name_any);
        let names = names.chain(bindings.iter().map(ResourceExt::name_any));
        Ok(names.filter(|name| name.starts_with(RELEASE)).collect())
    }

    /// Edits the source, and waits until `count` copies are updated.
    pub async fn edit_and_wait(&self, value: &str, count: usize) -> Result<()> {
        let patch = json!({"data": {"a": value}});
        self.fixture.patch_config_map(SYNCS, "shared", &patch).await?;
        until(format!("{count} copies are updated"), SOON, || async {
            let copies = self.copies().await?;
            let has = |copy: &&ConfigMap| copy.data.iter().flatten().any(|(_, it)| it == value);
            let updated = copies.values().filter(has).count();
            Ok(Seen::from_bool(updated == count, || format!("{updated} are updated")))
        })
        .await
    }

    /// The names of objects of this kind in a namespace, without `default`.
    async fn named<K>(&self, namespace: &str) -> Result<Vec<String>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api = Api::<K>::namespaced(self.fixture.client(), namespace);
        let named = api.list(&ListParams::default()).await?.items.into_iter();
        Ok(named.map(|it| it.name_any()).filter(|name| name != "default").collect())
    }

    /// The audit log of the API server.
    pub fn audit(&self) -> AuditLog {
        self.cluster.control_plane().audit()
    }

    /// The control plane of the cluster.
    pub const fn control_plane(&self) -> &ControlPlane {
        self.cluster.control_plane()
    }

    /// The cluster administrator.
    pub const fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// The kubeconfig of the cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    fn syncs(&self) -> Api<ConfigMapSync> {
        Api::namespaced(self.fixture.client(), SYNCS)
    }

    /// The ConfigMaps in the namespace of the copies.
    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.fixture.client(), COPIES)
    }
}

fn sync(number: usize) -> String {
    format!("sync-{number}")
}

/// Whether orphan collection may delete the copy.
pub fn is_deletable(copy: &ConfigMap) -> bool {
    copy.annotations().contains_key(names::ANNOTATION_DELETION_POLICY)
}

/// Whether the copy has the label of the ownership markers.
pub fn is_marked(copy: &ConfigMap) -> bool {
    copy.labels().contains_key(names::LABEL_SYNC_UID)
}
