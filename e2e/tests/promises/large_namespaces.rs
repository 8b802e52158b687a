//! A namespace with more labels than the operator keeps is selected by all of them: it is read once per
//! selector and change of its labels. While a read fails, nothing is written and nothing is deleted.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

/// What a list of namespaces responds that contains none.
const EMPTY: &str = r#"{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
    "metadata": {"resourceVersion": "1"}, "items": []}"#;

/// Labels of 20 KB in all, before `zone` in the order of keys.
fn many_labels() -> BTreeMap<String, String> {
    (0..200).map(|number| (format!("key-{number:03}"), format!("{number:063}"))).collect()
}

async fn create_namespace(fixture: &Fixture, name: &str, zone: &str) -> Result<()> {
    let labels = [("tenant", "t"), ("zone", zone)];
    fixture.create_labelled_namespace(name, &labels).await?;
    Ok(())
}

/// A cluster behind a proxy with the source, and the namespaces `large` and `small` in the zones a and b.
async fn start() -> Result<(OperatorCluster, FaultProxy)> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    create_namespace(&fixture, "small", "b").await?;
    create_namespace(&fixture, "large", "a").await?;
    fixture.label_namespace("large", &json!(many_labels())).await?;
    Ok((cluster, proxy))
}

/// Copies of this name in the namespaces of the tenant whose label `zone` meets the requirement.
fn spec(name: &str, operator: &str, values: &[&str]) -> ConfigMapSyncSpec {
    let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    let requirement = LabelSelectorRequirement {
        key: "zone".to_owned(),
        operator: operator.to_owned(),
        values: Some(values).filter(|values| !values.is_empty()),
    };
    let selector = LabelSelector {
        match_expressions: Some(vec![requirement]),
        ..with_labels(&[("tenant", "t")])
    };
    ConfigMapSyncSpec { destination_name: Some(name.to_owned()), ..to_selected(selector) }
}

/// Whether it is a read of the namespace `large`.
fn reads_large(request: &Request) -> bool {
    request.path == "/api/v1/namespaces" && request.query.contains("metadata.name%3Dlarge")
}

fn reads_of_large(proxy: &FaultProxy) -> usize {
    proxy.requests().iter().filter(|request| reads_large(request)).count()
}

fn ensure_reads(proxy: &FaultProxy, wanted: usize, when: &str) -> Result<()> {
    let reads = reads_of_large(proxy);
    ensure!(reads == wanted, "{when}: the namespace was read {reads} times instead of {wanted}");
    Ok(())
}

/// Changes the source, and waits until these copies follow.
async fn edit_source(fixture: &Fixture, value: &str, copies: &[(&str, &str)]) -> Result<()> {
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
    for (namespace, name) in copies {
        fixture.wait_data(namespace, name, &[("a", value)], propagation()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_label_of_a_large_namespace_counts() -> Result<()> {
    let (cluster, proxy) = start().await?;
    let fixture = cluster.fixture();
    let selecting = [
        ("in", spec("in", "In", &["a"]), vec!["large"], vec![]),
        ("not-in", spec("not-in", "NotIn", &["a"]), vec!["small"], vec!["large", "small"]),
        ("exists", spec("exists", "Exists", &[]), vec!["large", "small"], vec!["small"]),
        ("absent", spec("absent", "DoesNotExist", &[]), vec![], vec!["large"]),
    ];
    for (name, spec, namespaces, _) in &selecting {
        fixture.create_sync("central", name, spec.clone()).await?;
        wait_copies_in(&fixture, name, namespaces, SOON).await?;
    }
    ensure_reads(&proxy, 4, "one read per selector")?;
    edit_source(&fixture, "2", &[("large", "in"), ("small", "not-in"), ("large", "exists")])
        .await?;
    let note = json!({"metadata": {"annotations": {"note": "a"}}});
    fixture.patch_namespace("large", &note).await?;
    edit_source(&fixture, "3", &[("large", "in"), ("small", "not-in"), ("large", "exists")])
        .await?;
    ensure_reads(&proxy, 4, "no label has changed")?;

    fixture.label_namespace("large", &json!({"zone": null})).await?;
    for (name, _, _, namespaces) in &selecting {
        wait_copies_in(&fixture, name, namespaces, propagation()).await?;
    }
    fixture.wait_no_config_map("large", "in", SOON).await?;
    edit_source(&fixture, "4", &[("large", "not-in"), ("small", "exists")]).await?;
    ensure_reads(&proxy, 8, "one more read per selector")?;

    let removed: BTreeMap<_, _> = many_labels().into_keys().map(|key| (key, Value::Null)).collect();
    fixture.label_namespace("large", &json!(removed)).await?;
    fixture.label_namespace("large", &json!({"zone": "a"})).await?;
    for (name, _, namespaces, _) in &selecting {
        wait_copies_in(&fixture, name, namespaces, propagation()).await?;
    }
    ensure_reads(&proxy, 8, "few labels are kept")
}

/// Waits until the ConfigMapSync reports that the namespace cannot be read.
async fn wait_unreadable(fixture: &Fixture) -> Result<()> {
    until("central/sync reports that the namespace large cannot be read", SOON, || async {
        let sync = fixture.sync("central", "sync").await?.context("no such ConfigMapSync")?;
        let conditions = sync.status.map(|status| status.conditions).unwrap_or_default();
        let is_reported = conditions.iter().any(|it| {
            it.type_ == "Ready"
                && it.reason == "ApiError"
                && it.message.contains("cannot read namespace large")
        });
        Ok(Seen::from_bool(is_reported, || format!("{conditions:?}")))
    })
    .await
}

#[tokio::test]
async fn a_large_namespace_that_cannot_be_read_keeps_its_copy() -> Result<()> {
    let (cluster, proxy) = start().await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "sync", spec("copy", "In", &["a"])).await?;
    wait_copies_in(&fixture, "sync", &["large"], SOON).await?;
    let copy = fixture.config_map("large", "copy").await?.context("no copy")?;
    let responses = [
        CannedResponse::failure(500),
        CannedResponse::failure(404),
        CannedResponse { status: 200, retry_after: None, body: EMPTY.to_owned() },
    ];
    for (number, response) in responses.into_iter().enumerate() {
        proxy.add(Rule::new(Fault::Respond(response)).when(reads_large).always());
        fixture.label_namespace("large", &json!({"edit": number.to_string()})).await?;
        wait_unreadable(&fixture).await?;
        let value = format!("edit-{number}");
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        // A second attempt has failed, too.
        let attempts = reads_of_large(&proxy);
        until("the namespace is read again", SOON, || async {
            let reads = reads_of_large(&proxy);
            Ok(Seen::from_bool(reads > attempts + 1, || format!("{reads} reads")))
        })
        .await?;
        let kept = fixture.config_map("large", "copy").await?.context("the copy is gone")?;
        ensure!(
            number > 0 || kept.metadata.resource_version == copy.metadata.resource_version,
            "the copy was written: {kept:?}"
        );
        proxy.clear();
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
        fixture.wait_data("large", "copy", &[("a", &value)], SOON).await?;
    }
    let kept = fixture.config_map("large", "copy").await?.context("the copy is gone")?;
    ensure!(kept.metadata.uid == copy.metadata.uid, "the copy was created again");

    // Whether it is deselected is not known either.
    proxy.add(Rule::new(Fault::Respond(CannedResponse::failure(500))).when(reads_large).always());
    fixture.label_namespace("large", &json!({"zone": "b"})).await?;
    wait_unreadable(&fixture).await?;
    ensure!(fixture.config_map("large", "copy").await?.is_some(), "the copy was deleted");
    // A deletion needs no selection.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("large", "copy", SOON).await
}
