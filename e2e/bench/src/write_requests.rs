//! The requests of the raw writer: like those of the operator, with bodies of the same length.

use std::collections::BTreeMap;

use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use http::Request;
use http::header;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::api::Preconditions;
use kube::core::PartialObjectMeta;
use serde_json::json;

/// The response to a write: metadata only, as the operator requests it.
pub type MetadataOnly = PartialObjectMeta<ConfigMap>;

/// The data of a `ConfigMap`.
pub type Data = BTreeMap<String, String>;

/// The uid and resourceVersion of a written `ConfigMap`, for preconditions.
#[derive(Clone, Debug, Default)]
pub struct Written {
    uid: String,
    resource_version: String,
}

const ACCEPT_METADATA: header::HeaderValue = header::HeaderValue::from_static(
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
);
/// A uid of the usual length that belongs to no `ConfigMapSync`.
const UNUSED_UID: &str = "00000000-0000-0000-0000-000000000000";

/// One key with 1 KiB. `edit` is part of the value.
pub fn one_kibibyte(edit: u32) -> Data {
    Data::from([("key".to_owned(), format!("{edit:x<1024}"))])
}

/// Eight keys with 4 KiB in total. `edit` is part of the first value, so that an edit changes one key.
pub fn four_kibibytes(edit: u32) -> Data {
    let value = |key: u32| {
        let text = if key == 0 { format!("{edit:08}") } else { String::new() };
        format!("{text:x<512}")
    };
    (0..8).map(|key| (format!("key-{key}"), value(key))).collect()
}

/// A copy as the operator creates it.
pub fn copy(at: &NamespacedName, data: &Data) -> ConfigMap {
    let labels = [
        (names::LABEL_SYNC_UID, UNUSED_UID.to_owned()),
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
    ];
    let annotations = [
        (names::ANNOTATION_SYNC, "central/limit".to_owned()),
        (names::ANNOTATION_SOURCE, "central/shared".to_owned()),
        (names::ANNOTATION_COPY, at.to_string()),
        (names::ANNOTATION_CONTENT_HASH, hash('0')),
        (names::ANNOTATION_CREATED, "true".to_owned()),
        (names::ANNOTATION_DELETION_POLICY, "Delete".to_owned()),
    ];
    let map = |pairs: &[(&str, String)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(at.namespace.clone()),
            name: Some(at.name.clone()),
            labels: Some(map(&labels)),
            annotations: Some(map(&annotations)),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..ConfigMap::default()
    }
}

/// The POST of a copy.
pub fn create(at: &NamespacedName, copy: &ConfigMap) -> Result<Request<Vec<u8>>> {
    let parameters = PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let body = serde_json::to_vec(copy)?;
    accepting_metadata(kube::core::Request::new(url(at)).create(&parameters, body)?)
}

/// The JSON patch of a copy's content, with the resourceVersion `seen` as a precondition.
pub fn patch(at: &NamespacedName, seen: &Written, data: &Data) -> Result<Request<Vec<u8>>> {
    let annotation = names::ANNOTATION_CONTENT_HASH.replace('/', "~1");
    let patch: json_patch::Patch = serde_json::from_value(json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": seen.resource_version},
        {"op": "add", "path": format!("/metadata/annotations/{annotation}"), "value": hash('1')},
        {"op": "add", "path": "/data", "value": data},
        {"op": "add", "path": "/binaryData", "value": {}},
    ]))?;
    let parameters = PatchParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Json::<()>(patch);
    accepting_metadata(kube::core::Request::new(url(at)).patch(&at.name, &parameters, &patch)?)
}

/// The DELETE of a copy, with the uid and resourceVersion `seen` as preconditions.
pub fn delete(at: &NamespacedName, seen: &Written) -> Result<Request<Vec<u8>>> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: Some(seen.resource_version.clone()),
        }),
        ..DeleteParams::default()
    };
    accepting_metadata(kube::core::Request::new(url(at)).delete(&at.name, &parameters)?)
}

fn url(at: &NamespacedName) -> String {
    ConfigMap::url_path(&(), Some(&at.namespace))
}

fn hash(digit: char) -> String {
    format!("v1:{digit:0<64}")
}

#[expect(clippy::unnecessary_wraps, reason = "the last call of fallible functions")]
fn accepting_metadata(mut request: Request<Vec<u8>>) -> Result<Request<Vec<u8>>> {
    request.headers_mut().insert(header::ACCEPT, ACCEPT_METADATA);
    Ok(request)
}

// === impl Written ===

impl From<MetadataOnly> for Written {
    fn from(response: MetadataOnly) -> Self {
        Self {
            uid: response.metadata.uid.unwrap_or_default(),
            resource_version: response.metadata.resource_version.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_one_key_of_four_kibibytes() {
        let (before, after) = (four_kibibytes(1), four_kibibytes(2));
        assert_eq!(before.values().map(String::len).sum::<usize>(), 4_096);
        assert_eq!(before.iter().filter(|(key, value)| after[*key] != **value).count(), 1);
    }
}
