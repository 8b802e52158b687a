//! Whose permissions count, with a limited operator.

use std::collections::BTreeSet;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_CONSENT;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::users::Permission;

use crate::namespaced_scope::support::SCOPE;
use crate::namespaced_scope::support::ensure_inside;
use crate::namespaced_scope::support::limited_cluster;
use crate::service_account::support::ACCOUNT;
use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::support::conditions::message;
use crate::support::copies::to_selected;

#[tokio::test]
async fn reviews_are_local_in_the_scope() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    permit(control_plane, "central", Some("central"), &["get"]).await?;
    for namespace in ["a", "b"] {
        permit(control_plane, "central", Some(namespace), WRITES).await?;
    }
    fixture.create_sync("central", "named", by_account("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    // A selector selects the source's namespace, too, in which there is no copy.
    let mut selecting = to_selected(LabelSelector::default());
    selecting.service_account_name = Some(ACCOUNT.to_owned());
    selecting.destination_name = Some("selected".to_owned());
    fixture.create_sync("central", "selecting", selecting).await?;
    let sync = fixture.wait_reason("central", "selecting", "NotPermitted", SOON).await?;
    ensure!(message(&sync).contains("in namespace central"), "{}", message(&sync));
    for namespace in ["a", "b"] {
        fixture.wait_data(namespace, "selected", &[("key", "1")], SOON).await?;
    }
    permit(control_plane, "central", Some("central"), &["get", "create", "update", "delete"])
        .await?;
    fixture.wait_reason("central", "selecting", "Synced", SOON).await?;

    let events = cluster.audit().since(mark).await?;
    let reviews = requests_by_operator(&events).map(|it| (it.resource(), it.namespace()));
    let reviews: BTreeSet<_> =
        reviews.filter(|(resource, _)| resource.contains("accessreviews")).collect();
    let expected = ["a", "b", "central"].map(|it| ("localsubjectaccessreviews", it));
    ensure!(reviews == expected.into(), "{reviews:?}");
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn consent_to_a_selector_is_asked_for_in_all_namespaces() -> Result<()> {
    let (cluster, _) = limited_cluster(0).await?;
    let control_plane = &cluster.control_plane;
    let author = control_plane.user_client("author").await?;
    let rules = json!([{
        "apiGroups": ["apps.nishaf.info"],
        "resources": ["configmapsyncs"],
        "verbs": ["create"],
    }, {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["get", "create", "update", "delete"],
    }]);
    for namespace in SCOPE {
        let (group, resource) = ("", "configmaps");
        let last = Permission { namespace: Some(namespace), group, resource, verb: "delete" };
        control_plane.grant("author", Some(namespace), rules.clone(), last).await?;
    }
    // Everywhere in the scope is not everywhere: consent does not depend on the installation.
    let author = Fixture::new(author);
    author.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    let selecting = to_selected(LabelSelector::default());
    let refused = author.create_sync("central", "selecting", selecting).await;
    let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains(POLICY_CONSENT), "{error}");
    Ok(())
}
