//! With `keys`, exactly these keys are copied. A key that the source lacks is reported, and the
//! others are copied.

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::ByteString;
use serde_json::json;
use testbed::audit::lines;

use crate::support::conditions::message;
use crate::support::scale::propagation;

const ALL: [(&str, &str); 3] = [("a", "1"), ("b", "2"), ("c", "3")];

/// Creates a source with the keys a, b and c, and a ConfigMapSync of these keys.
async fn copy_keys(fixture: &Fixture, keys: &[&str]) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &ALL).await?;
    let mut spec = one_to_one("central", "shared", "app");
    spec.keys = Some(keys.iter().map(|key| (*key).to_owned()).collect());
    fixture.create_sync("central", "sync", spec).await?;
    Ok(())
}

#[tokio::test]
async fn only_listed_keys_are_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    copy_keys(&fixture, &["c", "a"]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("c", "3")], SOON).await?;

    // Changes of keys that are not listed cause no write.
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"b": "new"}})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"d": "4"}})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "one"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "one"), ("c", "3")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.len() == 1, "{}", lines(&writes));

    // A listed key may move to binaryData; a key that is not listed is drift in the copy.
    let moved = json!({"data": {"c": null}, "binaryData": {"c": "/w=="}});
    fixture.patch_config_map("central", "shared", &moved).await?;
    fixture
        .wait_config_map(
            "app",
            "shared",
            "c is in the binaryData of app/shared",
            propagation(),
            |copy| {
                let binary = copy.binary_data.clone().unwrap_or_default();
                let data = copy.data.clone().unwrap_or_default();
                binary.get("c") == Some(&ByteString(vec![0xff])) && data.len() == 1
            },
        )
        .await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"b": "new"}})).await?;
    let restored = |copy: &k8s_openapi::api::core::v1::ConfigMap| {
        copy.data.as_ref().is_some_and(|data| !data.contains_key("b"))
    };
    fixture
        .wait_config_map("app", "shared", "b is removed from app/shared", propagation(), restored)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_key_is_reported_and_the_others_are_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    copy_keys(&fixture, &["a", "missing"]).await?;
    let sync = fixture.wait_reason("central", "sync", "KeyNotFound", SOON).await?;
    ensure!(message(&sync).contains("missing"), "{}", message(&sync));
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    // The others are updated, and their drift is repaired.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;

    fixture.patch_config_map("central", "shared", &json!({"data": {"missing": "here"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2"), ("missing", "here")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    fixture.patch_config_map("central", "shared", &json!({"data": {"missing": null}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("central", "sync", "KeyNotFound", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn changing_the_list_of_keys_updates_the_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    copy_keys(&fixture, &["a"]).await?;
    let before = fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    for (keys, wanted) in [
        (json!(["a", "b"]), &ALL[..2]),
        (json!(["c"]), &ALL[2..]),
        (json!(null), &ALL[..]),
        (json!(["b"]), &ALL[1..2]),
    ] {
        fixture.patch_sync("central", "sync", &json!({"spec": {"keys": keys}})).await?;
        let copy = fixture.wait_data("app", "shared", wanted, propagation()).await?;
        ensure!(
            copy.metadata.uid == before.metadata.uid,
            "the copy was recreated instead of updated"
        );
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn new_keys_are_copied_although_the_first_read_fails() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    copy_keys(&fixture, &["a", "b"]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let failure = Fault::Respond(CannedResponse::failure(500));
    let source = "/namespaces/central/configmaps/shared";
    proxy.add(Rule::new(failure).method(Method::GET).path_contains(source));
    fixture.patch_sync("central", "sync", &json!({"spec": {"keys": ["a", "c"]}})).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("c", "3")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let failed = proxy.requests().into_iter().filter(|request| request.fault.is_some()).count();
    ensure!(failed == 1, "{failed} reads of the source failed");
    Ok(())
}
