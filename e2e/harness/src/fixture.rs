//! What a person does in a cluster, in the words of the tests.

mod namespace_objects;
mod one_to_one;
mod orphaned_copies;
mod sync_objects;
mod synced_copy;

pub use crate::fixture::one_to_one::one_to_one;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use testbed::wait::Seen;
use testbed::wait::until;

/// How long a person waits for what should take a moment, on a machine under load, or for what may
/// have to wait until a Lease expires that was not given back.
pub const SOON: Duration = Duration::from_mins(1);

/// A person with a client. Works with any cluster.
#[derive(Clone)]
pub struct Fixture {
    client: Client,
}

impl Fixture {
    /// Somebody who acts through `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Creates namespaces.
    pub async fn create_namespaces(&self, names: &[&str]) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client());
        for name in names {
            let metadata = ObjectMeta { name: Some((*name).to_owned()), ..ObjectMeta::default() };
            let namespace = Namespace { metadata, ..Namespace::default() };
            let created = namespaces.create(&PostParams::default(), &namespace).await;
            created.with_context(|| format!("creating the namespace {name}"))?;
        }
        Ok(())
    }

    /// Creates a `ConfigMap` with the given keys and values.
    pub async fn create_config_map(
        &self,
        namespace: &str,
        name: &str,
        data: &[(&str, &str)],
    ) -> Result<ConfigMap> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let data = Some(owned(data));
        let object = ConfigMap { metadata, data, ..ConfigMap::default() };
        let created = self.config_maps(namespace).create(&PostParams::default(), &object).await;
        created.with_context(|| format!("creating the ConfigMap {namespace}/{name}"))
    }

    /// Creates a `ConfigMap` that is like `original`, marks and all.
    pub async fn clone_config_map(&self, original: &ConfigMap) -> Result<ConfigMap> {
        let ObjectMeta { namespace, name, labels, annotations, .. } = original.metadata.clone();
        let api = self.config_maps(namespace.as_deref().unwrap_or_default());
        let metadata = ObjectMeta { namespace, name, labels, annotations, ..ObjectMeta::default() };
        let clone = ConfigMap { metadata, ..original.clone() };
        api.create(&PostParams::default(), &clone).await.context("cloning a ConfigMap")
    }

    /// Changes a `ConfigMap` by a merge patch: `{"data": {"key": null}}` removes a key.
    pub async fn patch_config_map(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<ConfigMap> {
        let maps = self.config_maps(namespace);
        let patched = maps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.with_context(|| format!("patching the ConfigMap {namespace}/{name}"))
    }

    /// Deletes a `ConfigMap`.
    pub async fn delete_config_map(&self, namespace: &str, name: &str) -> Result<()> {
        let deleted = self.config_maps(namespace).delete(name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting the ConfigMap {namespace}/{name}"))?;
        Ok(())
    }

    /// The `ConfigMap`, if there is one.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>> {
        let found = self.config_maps(namespace).get_opt(name).await;
        found.with_context(|| format!("reading the ConfigMap {namespace}/{name}"))
    }

    /// Waits until there is a `ConfigMap` with exactly these keys and values (and no binary data).
    pub async fn wait_data(
        &self,
        namespace: &str,
        name: &str,
        data: &[(&str, &str)],
        deadline: Duration,
    ) -> Result<ConfigMap> {
        let wanted = owned(data);
        let what = format!("the ConfigMap {namespace}/{name} has {} keys as wanted", data.len());
        self.wait_config_map(namespace, name, &what, deadline, |found| {
            found.data.clone().unwrap_or_default() == wanted && found.binary_data.is_none()
        })
        .await
    }

    /// Waits until there is a `ConfigMap` that `fits`.
    pub async fn wait_config_map(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        deadline: Duration,
        fits: impl Fn(&ConfigMap) -> bool,
    ) -> Result<ConfigMap> {
        until(what, deadline, || async {
            let found = self.config_map(namespace, name).await?;
            let instead = describe(found.as_ref());
            Ok(Seen::from_option(found.filter(&fits), || instead))
        })
        .await
    }

    /// Waits until there is no such `ConfigMap`.
    pub async fn wait_no_config_map(
        &self,
        namespace: &str,
        name: &str,
        deadline: Duration,
    ) -> Result<()> {
        until(format!("the ConfigMap {namespace}/{name} is gone"), deadline, || async {
            let found = self.config_map(namespace, name).await?;
            Ok(Seen::from_bool(found.is_none(), || describe(found.as_ref())))
        })
        .await
    }

    fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client(), namespace)
    }
}

fn owned(data: &[(&str, &str)]) -> BTreeMap<String, String> {
    data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// In at most some thousand characters: a `ConfigMap` may hold a mebibyte.
fn describe(found: Option<&ConfigMap>) -> String {
    let Some(found) = found else { return "no such ConfigMap".to_owned() };
    let mut found = found.clone();
    found.metadata.managed_fields = None;
    let text = serde_json::to_string(&found).unwrap_or_else(|error| error.to_string());
    text.chars().take(2_000).collect()
}
