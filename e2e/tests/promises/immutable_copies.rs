//! The copy of an immutable source is immutable, and is replaced with its source: one DELETE with
//! preconditions, one POST. After crashes and refusals the copy is created again, with backoff. An
//! immutable ConfigMap that the operator did not create is never deleted.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConflictPolicy;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::audit::operations;
use crate::support::conditions::message;
use crate::support::config_maps::create;
use crate::support::deny_policy::DenyPolicy;
use crate::support::mutating_policy::Mutation;
use crate::support::mutating_policy::mutating_cluster;
use crate::support::scale::propagation;

/// Deadline after a crash, which includes the election.
const AFTER_CRASH: Duration = Duration::from_mins(1);
/// How long attempts are refused.
const REFUSED_FOR: Duration = Duration::from_secs(12);
/// The most attempts in that time, with delays that double from about a second.
const MAX_ATTEMPTS: usize = 6;

/// Creates an immutable source and its immutable copy.
async fn create_immutable_copy(cluster: &OperatorCluster) -> Result<(Fixture, ConfigMap)> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.patch_config_map("central", "shared", &json!({"immutable": true})).await?;
    let copy = wait_immutable(&fixture, Some(true)).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok((fixture, copy))
}

async fn wait_immutable(fixture: &Fixture, wanted: Option<bool>) -> Result<ConfigMap> {
    let what = format!("app/shared has immutable = {wanted:?}");
    let fits = |copy: &ConfigMap| copy.immutable == wanted;
    fixture.wait_config_map("app", "shared", &what, propagation(), fits).await
}

/// Deletes the source, and creates it with another value.
async fn recreate_source(fixture: &Fixture, value: &str) -> Result<()> {
    fixture.delete_config_map("central", "shared").await?;
    let metadata = json!({"namespace": "central", "name": "shared"});
    let source = json!({"metadata": metadata, "data": {"a": value}, "immutable": true});
    create(fixture, source).await?;
    Ok(())
}

#[tokio::test]
async fn an_immutable_copy_is_replaced_with_preconditions() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, before) = create_immutable_copy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    recreate_source(&fixture, "2").await?;
    let after = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure!(after.immutable == Some(true), "the new copy is not immutable");
    ensure!(after.metadata.uid != before.metadata.uid, "the copy was not replaced");

    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(operations(&writes) == [("delete", "app"), ("create", "app")], "{}", lines(&writes));
    let sent = writes[0].request_object.as_ref().context("a DELETE without body")?;
    let version = &before.metadata;
    let seen = json!({"uid": version.uid, "resourceVersion": version.resource_version});
    ensure!(sent["preconditions"] == seen, "{sent:#}");
    Ok(())
}

#[tokio::test]
async fn a_new_label_does_not_replace_an_immutable_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, before) = create_immutable_copy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    let metadata = json!({"labels": {"team": "a"}});
    fixture
        .patch_sync("central", "sync", &json!({"spec": {"destinationMetadata": metadata}}))
        .await?;
    let is_labelled = |copy: &ConfigMap| {
        let labels = copy.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.get("team").is_some_and(|team| team == "a"))
    };
    let what = "app/shared has the label team";
    let after = fixture.wait_config_map("app", "shared", what, propagation(), is_labelled).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(after.metadata.uid == before.metadata.uid, "replaced: {}", lines(&writes));
    ensure!(operations(&writes) == [("patch", "app")], "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn a_crash_between_delete_and_create_is_recovered() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let (fixture, before) = create_immutable_copy(&cluster).await?;
    let deny = DenyPolicy::install(&cluster.control_plane, "app", "CREATE").await?;
    let mark = cluster.audit().mark().await?;
    recreate_source(&fixture, "2").await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    let refused = |sync: &_| message(sync).contains("refused by a policy");
    fixture.wait_sync("central", "sync", "the status reports the refusal", SOON, refused).await?;
    // After a 422 of the policy, each delay is longer than the one before.
    let counted = cluster.audit().mark().await?;
    tokio::time::sleep(REFUSED_FOR).await;
    let events = cluster.audit().since(counted).await?;
    let attempts = copy_writes(&events);
    ensure!(attempts.len() <= MAX_ATTEMPTS, "{}", lines(&attempts));
    let all_422 = attempts.iter().all(|event| event.response_status.code == 422);
    ensure!(all_422 && !attempts.is_empty(), "{}", lines(&attempts));

    cluster.replicas[0].process().kill()?;
    deny.remove().await?;
    cluster.replica()?.restart()?;
    let after = fixture.wait_data("app", "shared", &[("a", "2")], AFTER_CRASH).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure!(after.metadata.uid != before.metadata.uid, "{:?}", after.metadata);
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events).into_iter().filter(|event| event.succeeded());
    let writes = operations(&writes.collect::<Vec<_>>());
    ensure!(writes == [("delete", "app"), ("create", "app")], "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn a_refused_update_is_retried_with_backoff() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let deny = DenyPolicy::install(&cluster.control_plane, "app", "UPDATE").await?;
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let refused = |sync: &_| message(sync).contains("refused by a policy");
    fixture.wait_sync("central", "sync", "the status reports the refusal", SOON, refused).await?;
    tokio::time::sleep(REFUSED_FOR).await;
    let events = cluster.audit().since(mark).await?;
    let attempts = copy_writes(&events);
    let all_422 = attempts.iter().all(|event| event.response_status.code == 422);
    ensure!(all_422 && !attempts.is_empty(), "{}", lines(&attempts));
    ensure!(attempts.len() <= MAX_ATTEMPTS, "{}", lines(&attempts));
    deny.remove().await?;
    fixture.wait_data("app", "shared", &[("a", "2")], AFTER_CRASH).await?;
    Ok(())
}

#[tokio::test]
async fn immutable_set_on_a_copy_is_repaired() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    for edit in [
        json!({"immutable": true}),
        json!({"immutable": true, "data": {"a": "by hand"}, "binaryData": {"b": "AAE="}}),
    ] {
        let mark = cluster.audit().mark().await?;
        fixture.patch_config_map("app", "shared", &edit).await?;
        let copy = wait_immutable(&fixture, None).await?;
        let data = copy.data.unwrap_or_default();
        ensure!(data.len() == 1 && data["a"] == "1", "{data:?}");
        ensure!(copy.binary_data.is_none(), "{:?}", copy.binary_data);
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes(&events);
        ensure!(
            operations(&writes) == [("delete", "app"), ("create", "app")],
            "{}",
            lines(&writes)
        );
    }
    // The next edit of the source is copied.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn an_immutable_copy_without_created_is_a_conflict() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({
        "metadata": {"annotations": {names::ANNOTATION_CREATED: null}},
        "immutable": true,
        "data": {"a": "theirs"},
    });
    let mark = cluster.audit().mark().await?;
    let theirs = fixture.patch_config_map("app", "shared", &edit).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    let message = message(&sync);
    ensure!(message.contains("app/shared is immutable"), "{message}");

    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    until("the edited source is read", SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let reads = harness::audit_queries::data_reads_by_operator(&events);
        let seen = reads.iter().any(|event| event.namespace() == "central");
        Ok(Seen::from_bool(seen, || lines(&reads)))
    })
    .await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let left = fixture.config_map("app", "shared").await?.context("the ConfigMap was deleted")?;
    ensure!(left.metadata.uid == theirs.metadata.uid, "{left:#?}");
    ensure!(left.data == theirs.data, "{left:#?}");
    let events = cluster.audit().since(mark).await?;
    let deletes = copy_writes(&events).into_iter().filter(|event| event.verb == "delete");
    ensure!(deletes.count() == 0, "a DELETE was sent");
    Ok(())
}

#[tokio::test]
async fn an_immutable_adopted_copy_is_a_conflict() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "web"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    // app/shared is immutable before its adoption, web/shared becomes immutable afterwards.
    let metadata = json!({"namespace": "app", "name": "shared"});
    let before = json!({"metadata": metadata, "data": {"a": "theirs"}, "immutable": true});
    let before = create(&fixture, before).await?;
    let after = fixture.create_config_map("web", "shared", &[("a", "theirs")]).await?;
    let mark = cluster.audit().mark().await?;
    for namespace in ["app", "web"] {
        let mut spec = one_to_one("central", "shared", namespace);
        spec.conflict_policy = ConflictPolicy::Adopt;
        fixture.create_sync("central", namespace, spec).await?;
    }
    fixture.wait_reason("central", "app", "Conflict", SOON).await?;
    fixture.wait_reason("central", "web", "Synced", SOON).await?;
    let adopted = fixture.wait_data("web", "shared", &[("a", "1")], SOON).await?;
    ensure!(
        adopted.metadata.uid == after.metadata.uid,
        "the ConfigMap was recreated instead of adopted"
    );
    let by_hand = json!({"immutable": true, "data": {"a": "by hand"}});
    let by_hand = fixture.patch_config_map("web", "shared", &by_hand).await?;
    fixture.wait_reason("central", "web", "Conflict", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    for namespace in ["app", "web"] {
        fixture.wait_reason("central", namespace, "Conflict", SOON).await?;
        fixture.delete_sync("central", namespace).await?;
        fixture.wait_no_sync("central", namespace, SOON).await?;
    }

    let left = fixture.config_map("app", "shared").await?.context("the ConfigMap was deleted")?;
    let version = &left.metadata.resource_version;
    ensure!(*version == before.metadata.resource_version, "app/shared was written: {left:#?}");
    let left = fixture.config_map("web", "shared").await?.context("the ConfigMap was deleted")?;
    ensure!(left.metadata.uid == after.metadata.uid && left.data == by_hand.data, "{left:#?}");
    let labels = left.metadata.labels.unwrap_or_default();
    ensure!(labels.is_empty(), "web/shared was not released: {labels:?}");
    let events = cluster.audit().since(mark).await?;
    let deletes = copy_writes(&events).into_iter().filter(|event| event.verb == "delete");
    ensure!(deletes.count() == 0, "a DELETE was sent");
    Ok(())
}

#[tokio::test]
async fn a_copy_made_immutable_by_a_policy_is_replaced() -> Result<()> {
    let mutation =
        Mutation { operations: &["CREATE"], condition: "true", applied: "Object{immutable: true}" };
    let is_mutated = |found: &ConfigMap| found.immutable == Some(true);
    let cluster = mutating_cluster(&mutation, &json!({}), is_mutated).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}
