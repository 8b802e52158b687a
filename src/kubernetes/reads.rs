//! Reads of single objects, decoded into what is used of them.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::Resource;
use kube::api::GetParams;
use serde::Deserialize;

use crate::api::ConfigMapSync;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::MetadataOnly;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::content::Memory;
use crate::decide::drift::ConfigMapMetadata;
use crate::decide::drift::ManagedFields;
use crate::kubernetes::error::Named;
use crate::kubernetes::responses;
use crate::kubernetes::responses::SMALL;

/// A `ConfigMap` as stored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredConfigMap {
    #[serde(default)]
    metadata: ConfigMapMetadata,
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, ByteString>>,
    immutable: Option<bool>,
}

// === impl StoredConfigMap ===

impl StoredConfigMap {
    /// Its metadata and its content.
    #[must_use]
    pub fn into_parts(self) -> (ConfigMapMetadata, Content) {
        let content = Content {
            data: self.data.unwrap_or_default(),
            binary_data: self.binary_data.unwrap_or_default(),
            immutable: self.immutable.unwrap_or_default(),
            memory: Memory::default(),
        };
        (self.metadata, content)
    }
}

impl Named for StoredConfigMap {
    fn is_stored_as(&self, name: &str) -> bool {
        self.metadata.is_stored_as(name)
    }
}

/// Reads the `ConfigMap` at `at`.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn config_map(client: &Client, at: &NamespacedName) -> kube::Result<StoredConfigMap> {
    let request = path::<ConfigMap>(at).get(&at.name, &GetParams::default());
    responses::request(client, named("get", request)?).await
}

/// As [`config_map`], but `None` if the response is large.
///
/// # Errors
/// As [`config_map`].
pub async fn small_config_map(
    client: &Client,
    at: &NamespacedName,
) -> kube::Result<Option<StoredConfigMap>> {
    let request = path::<ConfigMap>(at).get(&at.name, &GetParams::default());
    let received = responses::receive_up_to(SMALL, client, named("get", request)?).await?;
    received.map(|received| received.decode()).transpose()
}

/// Reads the metadata of the `ConfigMap` at `at`.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn config_map_metadata(
    client: &Client,
    at: &NamespacedName,
) -> kube::Result<MetadataOnly<ManagedFields>> {
    let request = path::<ConfigMap>(at).get_metadata(&at.name, &GetParams::default());
    responses::request(client, named("get_metadata", request)?).await
}

/// Reads the sync `name`.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn sync(client: &Client, name: &NamespacedName) -> kube::Result<StoredConfigMapSync> {
    let request = path::<ConfigMapSync>(name).get(&name.name, &GetParams::default());
    responses::request(client, named("get", request)?).await
}

/// Reads the metadata of the sync `name`.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn sync_metadata(client: &Client, name: &NamespacedName) -> kube::Result<MetadataOnly> {
    let request = path::<ConfigMapSync>(name).get_metadata(&name.name, &GetParams::default());
    responses::request(client, named("get_metadata", request)?).await
}

/// Requests about objects of kind `K` in the namespace of `name`.
fn path<K: Resource<DynamicType = ()>>(name: &NamespacedName) -> kube::core::Request {
    kube::core::Request::new(K::url_path(&(), Some(&name.namespace)))
}

/// Names the span of a request, as kube does.
fn named(
    name: &'static str,
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> kube::Result<Request<Vec<u8>>> {
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.extensions_mut().insert(name);
    Ok(request)
}
