//! Objects of the largest size.

use anyhow::Context;
use anyhow::Result;
use configmapsync::names;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fixture::Fixture;
use http::Request;
use serde_json::Value;
use serde_json::json;

/// So many keys without a value, and their `managedFields`, fill the largest object that etcd accepts.
const KEYS: usize = 45_000;
/// Each takes the API server seconds.
const CONCURRENCY: usize = 2;
/// The length of a value that fits into a ConfigMap.
const LONG: usize = 900_000;

/// The keys of the largest ConfigMap, without values.
pub fn many_keys() -> Value {
    let keys = (0..KEYS).map(|key| (format!("key-{key:05}"), Value::from("")));
    Value::Object(keys.collect())
}

/// A single value of the largest size, which takes the API server less time than many keys.
pub fn long_value() -> Value {
    json!({"key-00000": "x".repeat(LONG)})
}

/// The name of the ConfigMap with this number.
pub fn large_name(number: usize) -> String {
    format!("large-{number}")
}

/// Creates `count` ConfigMaps of the largest number of keys in `namespace`. Every other one has the uid
/// label of a copy, but is none.
pub async fn create_large_config_maps(
    fixture: &Fixture,
    namespace: &str,
    count: usize,
) -> Result<()> {
    create_config_maps(fixture, namespace, count, &many_keys(), |number| match number % 2 {
        0 => json!({}),
        _ => json!({names::LABEL_SYNC_UID: "none"}),
    })
    .await
}

/// Creates `count` ConfigMaps with this data in `namespace`, and with the labels of their numbers.
pub async fn create_config_maps(
    fixture: &Fixture,
    namespace: &str,
    count: usize,
    data: &Value,
    labels: impl Fn(usize) -> Value,
) -> Result<()> {
    let data = data.to_string();
    let creations = (0..count).map(|number| {
        let labels = labels(number);
        let metadata = json!({"name": large_name(number), "labels": labels});
        create(fixture, namespace, format!("{{\"metadata\":{metadata},\"data\":{data}}}"))
    });
    stream::iter(creations).buffer_unordered(CONCURRENCY).try_for_each(async |()| Ok(())).await
}

async fn create(fixture: &Fixture, namespace: &str, object: String) -> Result<()> {
    let uri = format!("/api/v1/namespaces/{namespace}/configmaps");
    let request = Request::post(uri)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(object.into_bytes())?;
    let created = fixture.client().request_text(request).await;
    created.context("creating a large ConfigMap")?;
    Ok(())
}
