//! The bodies of writes that send content, serialized without a copy of it.

use std::collections::BTreeMap;

use json_patch::Patch;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeSeq as _;

use crate::decide::Content;

/// The longest body that needs no reservation of memory.
pub const SMALL: usize = 64 * 1024;
/// The memory of all other bodies in flight.
pub const TOTAL_KIB: u32 = 8 * 1024;

/// What JSON adds to a key and its value, and what else a body contains, roughly.
const ENTRY_BYTES: usize = 8;
const OTHER_BYTES: usize = 4 * 1024;

/// A `ConfigMap` to create.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_data: Option<&'a BTreeMap<String, ByteString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
}

/// A patch of metadata and content.
#[derive(Debug)]
pub struct ContentPatch<'a> {
    metadata: Patch,
    content: &'a Content,
}

/// An operation that sets a field as a whole.
#[derive(Serialize)]
struct Add<Value> {
    op: &'static str,
    path: &'static str,
    value: Value,
}

// === impl NewConfigMap ===

impl<'a> NewConfigMap<'a> {
    pub(super) fn new(metadata: ObjectMeta, content: &'a Content) -> Self {
        Self {
            api_version: "v1",
            kind: "ConfigMap",
            metadata,
            data: Some(&content.data).filter(|data| !data.is_empty()),
            binary_data: Some(&content.binary_data).filter(|data| !data.is_empty()),
            immutable: content.immutable.then_some(true),
        }
    }
}

// === impl ContentPatch ===

impl<'a> ContentPatch<'a> {
    pub(super) const fn new(metadata: Patch, content: &'a Content) -> Self {
        Self { metadata, content }
    }
}

impl Serialize for ContentPatch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Patch(metadata) = &self.metadata;
        let Content { data, binary_data, immutable, .. } = self.content;
        let mut patch = serializer.serialize_seq(None)?;
        for operation in metadata {
            patch.serialize_element(operation)?;
        }
        patch.serialize_element(&Add { op: "add", path: "/data", value: data })?;
        patch.serialize_element(&Add { op: "add", path: "/binaryData", value: binary_data })?;
        if *immutable {
            patch.serialize_element(&Add { op: "add", path: "/immutable", value: true })?;
        }
        patch.end()
    }
}

/// The size of a body with this content, roughly: more, if many characters have to be escaped.
#[must_use]
pub fn estimated_size(content: &Content) -> usize {
    let binary: usize = content.binary_data.values().map(|value| value.0.len() / 3).sum();
    OTHER_BYTES + content.bytes() + binary + content.keys() * ENTRY_BYTES
}

/// `body` as JSON, of which `content` is the largest part.
pub(super) fn to_json(body: &impl Serialize, content: &Content) -> kube::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(estimated_size(content));
    serde_json::to_writer(&mut json, body).map_err(kube::Error::SerdeError)?;
    json.shrink_to_fit();
    Ok(json)
}
