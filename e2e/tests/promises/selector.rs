//! Exactly the namespaces that match the selector have a copy, also after namespaces are created,
//! relabelled, deleted and recreated. Protected namespaces and the source itself are excluded.

use std::collections::BTreeSet;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::support::copies::copy_namespaces;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

const PROTECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "configmapsync"];

/// Creates the source, and namespaces with these names and values of the label `team`.
async fn create_source_and_teams(fixture: &Fixture, names: &[(&str, &str)]) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for (name, team) in names {
        fixture.create_labelled_namespace(name, &[("team", team)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn namespaces_created_and_relabelled_are_followed() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_source_and_teams(&fixture, &[("one", "a"), ("two", "a"), ("three", "b")]).await?;
    // The source gets no copy on itself, even if its namespace matches.
    fixture.label_namespace("central", &json!({"team": "a"})).await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], propagation()).await?;

    fixture.create_labelled_namespace("four", &[("team", "a")]).await?;
    wait_copies_in(&fixture, "sync", &["four", "one", "two"], propagation()).await?;
    fixture.label_namespace("three", &json!({"team": "a"})).await?;
    wait_copies_in(&fixture, "sync", &["four", "one", "three", "two"], propagation()).await?;
    fixture.label_namespace("one", &json!({"team": "b"})).await?;
    fixture.label_namespace("two", &json!({"team": null})).await?;
    wait_copies_in(&fixture, "sync", &["four", "three"], propagation()).await?;
    for left in ["one", "two"] {
        fixture.wait_no_config_map(left, "shared", SOON).await?;
    }
    // A label that the selector does not use changes nothing.
    let before = fixture.config_map("four", "shared").await?.context("no copy")?;
    fixture.label_namespace("four", &json!({"other": "label"})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    for namespace in ["four", "three"] {
        let copy = fixture.wait_data(namespace, "shared", &[("a", "2")], propagation()).await?;
        ensure!(
            namespace != "four" || copy.metadata.uid == before.metadata.uid,
            "the copy in four was recreated"
        );
    }
    // A selector that matches no namespace is valid.
    let no_match =
        json!({"spec": {"destinationNamespaceSelector": {"matchLabels": {"team": "z"}}}});
    fixture.patch_sync("central", "sync", &no_match).await?;
    wait_copies_in(&fixture, "sync", &[], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn deleting_a_sync_deletes_its_copies_but_not_the_source() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_source_and_teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
    fixture.label_namespace("central", &json!({"team": "a"})).await?;
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    for namespace in ["one", "two"] {
        let left = fixture.config_map(namespace, "shared").await?;
        ensure!(left.is_none(), "the copy in {namespace} was not deleted");
    }
    let left = fixture.config_map("central", "shared").await?.context("the source is gone")?;
    ensure!(left.metadata.resource_version == source.metadata.resource_version, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn retained_copies_are_released_when_deselected() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_source_and_teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
    let mut spec = to_selected(with_labels(&[("team", "a")]));
    spec.deletion_policy = DeletionPolicy::Retain;
    fixture.create_sync("central", "sync", spec).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;
    fixture.label_namespace("one", &json!({"team": "b"})).await?;
    wait_copies_in(&fixture, "sync", &["two"], propagation()).await?;
    let left = fixture.wait_data("one", "shared", &[("a", "1")], SOON).await?;
    let annotations = left.metadata.annotations.unwrap_or_default();
    ensure!(annotations.is_empty(), "{annotations:?}");
    let labels = left.metadata.labels.unwrap_or_default();
    ensure!(!labels.contains_key(names::LABEL_SYNC_UID), "{labels:?}");

    // If it matches again, the released ConfigMap is foreign.
    fixture.label_namespace("one", &json!({"team": "a"})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn terminating_namespaces_are_skipped_until_recreated() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_source_and_teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;

    cluster.control_plane.controller_manager().freeze()?;
    let mark = cluster.audit().mark().await?;
    fixture.delete_namespace("two").await?;
    fixture.delete_config_map("two", "shared").await?;
    wait_copies_in(&fixture, "sync", &["one"], propagation()).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("one", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "two");
    // The operator may have deleted the copy that is no longer desired before the test did.
    writes.retain(|event| event.verb != "delete");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    fixture.finalize_namespace("two").await?;
    fixture.create_labelled_namespace("two", &[("team", "a")]).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], propagation() * 2).await?;
    fixture.wait_data("two", "shared", &[("a", "2")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn an_empty_selector_skips_protected_ones_and_the_source() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_source_and_teams(&fixture, &[("one", "a"), ("two", "b")]).await?;
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", to_selected(LabelSelector::default())).await?;
    wait_copies_in(&fixture, "sync", &["default", "one", "two"], SOON).await?;
    let mut renamed = to_selected(LabelSelector::default());
    renamed.destination_name = Some("renamed".to_owned());
    fixture.create_sync("central", "renamed", renamed).await?;
    wait_copies_in(&fixture, "renamed", &["central", "default", "one", "two"], SOON).await?;

    let now = fixture.config_map("central", "shared").await?.context("no source")?;
    ensure!(now.metadata.resource_version == source.metadata.resource_version, "{now:?}");
    let by_name = one_to_one("central", "shared", "kube-system");
    fixture.create_sync("central", "by-name", by_name).await?;
    let sync = fixture.wait_reason("central", "by-name", "DestinationProtected", SOON).await?;
    let conditions = sync.status.unwrap_or_default().conditions;
    ensure!(conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"));
    let events = cluster.audit().since(mark).await?;
    for protected in PROTECTED {
        let writes = copy_writes_in(&events, protected);
        ensure!(writes.is_empty(), "{}", lines(&writes));
    }
    Ok(())
}

/// The namespaces that the API server selects, without those that are never destinations.
async fn selected(fixture: &Fixture, selector: &str) -> Result<BTreeSet<String>> {
    let namespaces = Api::<Namespace>::all(fixture.client());
    let found = namespaces.list(&ListParams::default().labels(selector)).await?;
    let names = found.items.into_iter().filter_map(|namespace| namespace.metadata.name);
    let is_excluded = |name: &String| name == "central" || PROTECTED.contains(&name.as_str());
    Ok(names.filter(|name| !is_excluded(name)).collect())
}

#[tokio::test]
async fn match_expressions_select_as_the_api_server_does() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let teams_of = [("one", "a"), ("two", "b"), ("three", "c"), ("four", "")];
    create_source_and_teams(&fixture, &teams_of).await?;
    fixture.create_labelled_namespace("five", &[("tier", "web")]).await?;
    fixture.label_namespace("one", &json!({"tier": "web"})).await?;
    let requirement = |key: &str, operator: &str, values: &[&str]| {
        let mut requirement = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            requirement["values"] = json!(values);
        }
        requirement
    };
    let cases: [(Value, &str); 8] = [
        (json!([requirement("team", "In", &["a", "b"])]), "team in (a,b)"),
        (json!([requirement("team", "NotIn", &["a", "b"])]), "team notin (a,b)"),
        (json!([requirement("team", "Exists", &[])]), "team"),
        (json!([requirement("team", "DoesNotExist", &[])]), "!team"),
        (json!([requirement("team", "In", &[""])]), "team in ()"),
        (
            json!([requirement("team", "Exists", &[]), requirement("team", "NotIn", &["c"])]),
            "team,team notin (c)",
        ),
        (
            json!([requirement("tier", "Exists", &[]), requirement("team", "DoesNotExist", &[])]),
            "tier,!team",
        ),
        (json!([requirement("team", "In", &["z"])]), "team in (z)"),
    ];
    fixture.create_sync("central", "sync", to_selected(LabelSelector::default())).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for (expressions, selector) in cases {
        let spec = json!({"destinationNamespaceSelector": {"matchExpressions": expressions}});
        fixture.patch_sync("central", "sync", &json!({"spec": spec})).await?;
        let wanted = selected(&fixture, selector).await?;
        let names: Vec<_> = wanted.iter().map(String::as_str).collect();
        wait_copies_in(&fixture, "sync", &names, SOON).await.context(selector.to_owned())?;
    }
    // With both forms, all requirements must hold.
    let both = json!({
        "matchLabels": {"tier": "web"},
        "matchExpressions": [requirement("team", "In", &["a"])],
    });
    let spec = json!({"spec": {"destinationNamespaceSelector": both}});
    fixture.patch_sync("central", "sync", &spec).await?;
    wait_copies_in(&fixture, "sync", &["one"], SOON).await?;
    ensure!(copy_namespaces(&fixture, "sync").await?.len() == 1);
    Ok(())
}
