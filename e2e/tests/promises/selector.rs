//! Promise: every namespace that matches the selector has a copy, and no other has: namespaces
//! created, relabelled, deleted and created again are followed, protected ones and the source
//! itself are left out.

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

/// The source, and namespaces named after the team that they belong to.
async fn teams(fixture: &Fixture, names: &[(&str, &str)]) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for (name, team) in names {
        fixture.create_labelled_namespace(name, &[("team", team)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn namespaces_created_and_relabelled_are_followed() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    teams(&fixture, &[("one", "a"), ("two", "a"), ("three", "b")]).await?;
    // The source is no copy of itself, also where its own namespace matches.
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
    // Another label is no news.
    let before = fixture.config_map("four", "shared").await?.context("no copy")?;
    fixture.label_namespace("four", &json!({"other": "label"})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    for place in ["four", "three"] {
        let copy = fixture.wait_data(place, "shared", &[("a", "2")], propagation()).await?;
        ensure!(place != "four" || copy.metadata.uid == before.metadata.uid, "the same copy");
    }
    // Nobody matches: that is in order too.
    let nobody = json!({"spec": {"destinationNamespaceSelector": {"matchLabels": {"team": "z"}}}});
    fixture.patch_sync("central", "sync", &nobody).await?;
    wait_copies_in(&fixture, "sync", &[], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_sync_takes_all_its_copies_along_and_leaves_the_source() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
    fixture.label_namespace("central", &json!({"team": "a"})).await?;
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    for place in ["one", "two"] {
        ensure!(fixture.config_map(place, "shared").await?.is_none(), "left in {place}");
    }
    let left = fixture.config_map("central", "shared").await?.context("the source is gone")?;
    ensure!(left.metadata.resource_version == source.metadata.resource_version, "{left:?}");
    Ok(())
}

#[tokio::test]
async fn retained_copies_are_released_when_their_namespace_leaves() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
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

    // Come back, it finds what it has left: Foreign from then on.
    fixture.label_namespace("one", &json!({"team": "a"})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn namespaces_being_deleted_are_skipped_and_new_ones_of_their_name_are_not() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    teams(&fixture, &[("one", "a"), ("two", "a")]).await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], SOON).await?;

    world.control_plane.controller_manager().freeze()?;
    let mark = world.audit().mark().await?;
    fixture.delete_namespace("two").await?;
    fixture.delete_config_map("two", "shared").await?;
    wait_copies_in(&fixture, "sync", &["one"], propagation()).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("one", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = world.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "two");
    // The copy that no namespace wants any more may have been on its way out.
    writes.retain(|event| event.verb != "delete");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    fixture.finalize_namespace("two").await?;
    fixture.create_labelled_namespace("two", &[("team", "a")]).await?;
    wait_copies_in(&fixture, "sync", &["one", "two"], propagation() * 2).await?;
    fixture.wait_data("two", "shared", &[("a", "2")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn all_are_all_but_protected_ones_and_the_source_itself() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    teams(&fixture, &[("one", "a"), ("two", "b")]).await?;
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", to_selected(LabelSelector::default())).await?;
    wait_copies_in(&fixture, "sync", &["default", "one", "two"], SOON).await?;
    let mut renamed = to_selected(LabelSelector::default());
    renamed.destination_name = Some("renamed".to_owned());
    fixture.create_sync("central", "renamed", renamed).await?;
    wait_copies_in(&fixture, "renamed", &["central", "default", "one", "two"], SOON).await?;

    let now = fixture.config_map("central", "shared").await?.context("no source")?;
    ensure!(now.metadata.resource_version == source.metadata.resource_version, "{now:?}");
    let outright = one_to_one("central", "shared", "kube-system");
    fixture.create_sync("central", "outright", outright).await?;
    let sync = fixture.wait_reason("central", "outright", "DestinationProtected", SOON).await?;
    let conditions = sync.status.unwrap_or_default().conditions;
    ensure!(conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"));
    let events = world.audit().since(mark).await?;
    for protected in PROTECTED {
        let writes = copy_writes_in(&events, protected);
        ensure!(writes.is_empty(), "{}", lines(&writes));
    }
    Ok(())
}

/// What the API server itself selects, but for those that are never destinations.
async fn selected(fixture: &Fixture, selector: &str) -> Result<BTreeSet<String>> {
    let namespaces = Api::<Namespace>::all(fixture.client());
    let found = namespaces.list(&ListParams::default().labels(selector)).await?;
    let names = found.items.into_iter().filter_map(|namespace| namespace.metadata.name);
    let left_out = |name: &String| name == "central" || PROTECTED.contains(&name.as_str());
    Ok(names.filter(|name| !left_out(name)).collect())
}

#[tokio::test]
async fn expressions_select_what_the_api_server_would() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let teams_of = [("one", "a"), ("two", "b"), ("three", "c"), ("four", "")];
    teams(&fixture, &teams_of).await?;
    fixture.create_labelled_namespace("five", &[("tier", "web")]).await?;
    fixture.label_namespace("one", &json!({"tier": "web"})).await?;
    let term = |key: &str, operator: &str, values: &[&str]| {
        let mut term = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            term["values"] = json!(values);
        }
        term
    };
    let cases: [(Value, &str); 8] = [
        (json!([term("team", "In", &["a", "b"])]), "team in (a,b)"),
        (json!([term("team", "NotIn", &["a", "b"])]), "team notin (a,b)"),
        (json!([term("team", "Exists", &[])]), "team"),
        (json!([term("team", "DoesNotExist", &[])]), "!team"),
        (json!([term("team", "In", &[""])]), "team in ()"),
        (
            json!([term("team", "Exists", &[]), term("team", "NotIn", &["c"])]),
            "team,team notin (c)",
        ),
        (json!([term("tier", "Exists", &[]), term("team", "DoesNotExist", &[])]), "tier,!team"),
        (json!([term("team", "In", &["z"])]), "team in (z)"),
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
    // Both forms at once: all of it must hold.
    let both = json!({
        "matchLabels": {"tier": "web"},
        "matchExpressions": [term("team", "In", &["a"])],
    });
    let spec = json!({"spec": {"destinationNamespaceSelector": both}});
    fixture.patch_sync("central", "sync", &spec).await?;
    wait_copies_in(&fixture, "sync", &["one"], SOON).await?;
    ensure!(copy_namespaces(&fixture, "sync").await?.len() == 1);
    Ok(())
}
