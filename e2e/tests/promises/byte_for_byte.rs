//! A copy has exactly the keys and bytes of its source. Equal content is not written again,
//! whatever the order of its keys.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Request;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

/// The maximum size of the data of a ConfigMap in Kubernetes, keys included, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1"), ("b", "2")]).await?;
    Ok(fixture)
}

/// Patches the source, and waits until the copy has the same content.
async fn patch_and_wait(fixture: &Fixture, edit: &Value) -> Result<ConfigMap> {
    let source = fixture.patch_config_map("central", "shared", edit).await?;
    let is_equal = |copy: &ConfigMap| {
        // The API server keeps empty values, but drops empty maps.
        copy.data.clone().unwrap_or_default() == source.data.clone().unwrap_or_default()
            && copy.binary_data.clone().unwrap_or_default()
                == source.binary_data.clone().unwrap_or_default()
    };
    fixture.wait_config_map("app", "shared", "app/shared matches its source", SOON, is_equal).await
}

#[tokio::test]
async fn every_byte_and_character_is_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let all = ByteString((0..=u8::MAX).collect());
    let mut binary: BTreeMap<_, _> =
        (0..=u8::MAX).map(|byte| (format!("byte-{byte}"), ByteString(vec![byte]))).collect();
    binary.insert("all".to_owned(), all.clone());
    binary.insert("empty".to_owned(), ByteString(Vec::new()));
    let characters: String = ('\0'..='\u{2ff}').chain(['\u{fffd}', '\u{10ffff}', '🦀']).collect();
    let text = json!({"characters": characters, "empty": null, "lines": "\r\n \t\n\n", "a": null});
    let edit = json!({"data": text, "binaryData": binary});
    let copy = patch_and_wait(&fixture, &edit).await?;
    let copied = copy.binary_data.unwrap_or_default();
    ensure!(copied.get("all") == Some(&all) && copied.len() == 258, "{} keys", copied.len());
    let data = copy.data.unwrap_or_default();
    ensure!(data.get("characters") == Some(&characters), "{data:?}");
    Ok(())
}

#[tokio::test]
async fn keys_are_added_moved_emptied_and_removed() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    for edit in [
        json!({"data": {"a": "one", "b": null, "c": "3"}}),
        json!({"data": {"a": "", "c": ""}}),
        // From data to binaryData and back, with the same bytes and with others.
        json!({"data": {"a": null}, "binaryData": {"a": ""}}),
        json!({"data": {"c": "same"}}),
        json!({"data": {"c": null}, "binaryData": {"c": bytes("same")}}),
        json!({"data": {"c": "same"}, "binaryData": {"c": null}}),
        json!({
            "data": {"a": "text again", "c": null},
            "binaryData": {"a": null, "c": bytes("other")},
        }),
        json!({"data": null}),
        json!({"binaryData": null}),
        json!({"data": {"back": ""}}),
    ] {
        patch_and_wait(&fixture, &edit).await.with_context(|| format!("after {edit}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn largest_and_empty_sources_are_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let value = "x".repeat(MAX_SIZE - 1 - "key".len());
    patch_and_wait(&fixture, &json!({"data": {"a": null, "b": null, "key": value}})).await?;
    patch_and_wait(&fixture, &json!({"data": null})).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.create_config_map("central", "empty", &[]).await?;
    fixture.create_sync("central", "empty", one_to_one("central", "empty", "app")).await?;
    fixture.wait_data("app", "empty", &[], SOON).await?;
    fixture.wait_reason("central", "empty", "Synced", SOON).await?;
    Ok(())
}

/// The source as JSON text, with its keys in this order.
fn source_json(order: &[(&str, &str)], binary: &[(&str, &str)]) -> String {
    let map = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key:?}:{value:?}")).collect();
        pairs.join(",")
    };
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"shared","namespace":"central","labels":{{"order":"{}"}}}},"data":{{{}}},"binaryData":{{{}}}}}"#,
        order[0].0,
        map(order),
        map(binary),
    )
}

#[tokio::test]
async fn reordered_content_is_not_written() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let put = async |order: &[(&str, &str)], binary: &[(&str, &str)]| {
        let request = Request::put("/api/v1/namespaces/central/configmaps/shared")
            .header("Content-Type", "application/json")
            .body(source_json(order, binary).into_bytes())?;
        fixture.client().request::<ConfigMap>(request).await.context("replacing the source")
    };
    let (data, binary) = ([("a", "1"), ("b", "2"), ("c", "3")], [("x", "AAE="), ("y", "Ag==")]);
    let source = put(&data, &binary).await?;
    let same =
        |copy: &ConfigMap| copy.data == source.data && copy.binary_data == source.binary_data;
    let copy = fixture
        .wait_config_map("app", "shared", "app/shared equals its source", SOON, same)
        .await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    put(&[("c", "3"), ("a", "1"), ("b", "2")], &[("y", "Ag=="), ("x", "AAE=")]).await?;
    put(&[("b", "2"), ("c", "3"), ("a", "1")], &binary).await?;
    // Deleted and created again, with another uid.
    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let mut again = source.clone();
    again.metadata = serde_json::from_value(json!({"namespace": "central", "name": "shared"}))?;
    crate::support::config_maps::create(&fixture, serde_json::to_value(&again)?).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.resource() == "configmaps");
    ensure!(writes.is_empty(), "{}", lines(&writes));
    let now = fixture.config_map("app", "shared").await?.context("no copy")?;
    ensure!(now.metadata.resource_version == copy.metadata.resource_version, "{now:#?}");
    Ok(())
}
