//! Invalid ConfigMapSyncs that were stored before a rule existed.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::core::PartialObjectMeta;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bad_input::selectors::expression;
use crate::bad_input::selectors::selecting;
use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::set_validation;
use crate::bad_input::support::store;
use crate::bad_input::support::wait_stalled;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;

/// ConfigMapSyncs that admission refuses: name, spec, and words of the condition.
fn invalid() -> Vec<(&'static str, Value, &'static str)> {
    fields().into_iter().chain(selectors()).collect()
}

/// With a selector. Each would select every namespace if it were taken literally, or none.
fn selectors() -> Vec<(&'static str, Value, &'static str)> {
    let with = |selector: &Value| merged(minimal_spec(), &selecting(selector));
    let expression =
        |key: &str, operator: &str, values: &[&str]| with(&expression(key, operator, values));
    let long = "v".repeat(64);
    vec![
        ("selected-key", expression("team name", "DoesNotExist", &[]), "\"team name\""),
        ("selected-prefix", expression("-/team", "DoesNotExist", &[]), "\"-/team\""),
        ("selected-value", expression("team", "NotIn", &["a b"]), "\"a b\""),
        ("selected-long", with(&json!({"matchLabels": {"team": long}})), "of at most 63"),
        ("selected-label", with(&json!({"matchLabels": {"team name": "a"}})), "\"team name\""),
        ("selected-none", expression("team", "In", &[]), "requires values"),
        ("selected-some", expression("team", "Exists", &["a"]), "must not have values"),
        ("selected-any", with(&json!({"matchExpressions": [{"key": "team"}]})), "does not exist"),
        ("selected-is", expression("team", "Is", &["a"]), "\"Is\""),
    ]
}

fn fields() -> Vec<(&'static str, Value, &'static str)> {
    let both = json!({"destinationNamespaceSelector": {}});
    let itself = json!({"destinationNamespace": "central"});
    let reserved = json!({"destinationMetadata": {"annotations": {"APPS.nishaf.info/x": "a"}}});
    vec![
        ("upper", merged(minimal_spec(), &json!({"configMapName": "Shared"})), "configMapName"),
        (
            "namespace",
            merged(minimal_spec(), &json!({"sourceNamespace": "a/b"})),
            "sourceNamespace",
        ),
        ("blank", merged(minimal_spec(), &json!({"configMapName": ""})), "configMapName"),
        (
            "long",
            merged(minimal_spec(), &json!({"destinationName": "a".repeat(254)})),
            "destinationName",
        ),
        (
            "account",
            merged(minimal_spec(), &json!({"serviceAccountName": ""})),
            "serviceAccountName",
        ),
        ("nameless", merged(minimal_spec(), &json!({"configMapName": null})), "configMapName"),
        ("reserved", merged(minimal_spec(), &reserved), "APPS.nishaf.info/x"),
        ("policy", merged(minimal_spec(), &json!({"deletionPolicy": "Keep"})), "Keep"),
        ("both", merged(minimal_spec(), &both), "exactly one of spec.destinationNamespace and"),
        (
            "neither",
            merged(minimal_spec(), &json!({"destinationNamespace": null})),
            "exactly one of",
        ),
        ("itself", merged(minimal_spec(), &itself), "the same ConfigMap"),
        (
            "root",
            merged(minimal_spec(), &json!({"configMapName": "kube-root-ca.crt"})),
            "kube-root-ca",
        ),
        (
            "sourceless",
            merged(minimal_spec(), &json!({"sourceNamespace": null})),
            "sourceNamespace",
        ),
        ("flag", merged(minimal_spec(), &json!({"suspend": "yes"})), "spec cannot be parsed"),
        ("empty", json!({}), "spec cannot be parsed"),
    ]
}

/// ConfigMapSyncs whose rules cannot be evaluated. The API server refuses all patches of them, also
/// of their status, so that the error is reported in the log only.
fn unpatchable() -> Vec<(&'static str, Value)> {
    vec![
        ("number", merged(minimal_spec(), &json!({"sourceNamespace": 7}))),
        ("text", json!("text")),
    ]
}

#[tokio::test]
async fn invalid_stored_syncs_are_reported_and_affect_no_others() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    set_validation(&cluster, false).await?;
    let objects = invalid().into_iter().map(|(name, spec, _)| (name, spec));
    let objects: Vec<_> = objects.chain(unpatchable()).collect();
    for (name, spec) in &objects {
        store(&fixture.client(), name, spec).await?;
    }
    set_validation(&cluster, true).await?;

    let mark = cluster.audit().mark().await?;
    cluster.add_replicas(1).await?;
    for (name, _, words) in invalid() {
        wait_stalled(&fixture, name, words).await?;
    }
    for (name, _) in unpatchable() {
        wait_logged(cluster.replica()?, name).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.resource() == "configmaps");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    fixture.create_sync("central", "good", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "good", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    for (name, _) in &objects {
        delete_and_wait(&fixture.client(), name).await?;
    }
    fixture.wait_reason("central", "good", "Synced", SOON).await?;
    Ok(())
}

/// Waits until the operator has logged the error of the ConfigMapSync `central/NAME`.
async fn wait_logged(replica: &Replica, name: &str) -> Result<()> {
    let sync = format!("central/{name}");
    until(format!("a log line reports that {sync} is invalid"), SOON, || async {
        let lines = replica.logs().iter().map(ToString::to_string).collect::<Vec<_>>();
        let words = ["InvalidSpec", "spec cannot be parsed", &*sync];
        let is_logged = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
        Ok(Seen::from_bool(is_logged, || replica.process().tail(5)))
    })
    .await
}

/// Deletes the ConfigMapSync `central/NAME`, and waits until it is gone.
async fn delete_and_wait(client: &Client, name: &str) -> Result<()> {
    let syncs: Api<PartialObjectMeta<ConfigMapSync>> = Api::namespaced(client.clone(), "central");
    let deleted = syncs.delete(name, &DeleteParams::default()).await;
    deleted.with_context(|| format!("deleting {name}"))?;
    until(format!("the ConfigMapSync central/{name} is deleted"), SOON, || async {
        let found = syncs.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await
}

/// Waits until the annotation `note` of the copy in `app` has this value.
async fn wait_note(fixture: &Fixture, note: &str) -> Result<()> {
    let what = format!("its annotation note has {} bytes", note.len());
    fixture
        .wait_config_map("app", "shared", &what, SOON, |copy| {
            let annotations = copy.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get("note")).is_some_and(|it| it == note)
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn annotations_too_long_since_an_upgrade_keep_working() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    set_validation(&cluster, false).await?;
    let note = "\u{e9}".repeat(5_000);
    let with_note = |note: &str| json!({"destinationMetadata": {"annotations": {"note": note}}});
    store(&fixture.client(), "sync", &merged(minimal_spec(), &with_note(&note))).await?;
    wait_note(&fixture, &note).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    set_validation(&cluster, true).await?;

    // Status and other fields can be changed, and the copy follows its source.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    for suspend in [true, false] {
        fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": suspend}})).await?;
        let reason = if suspend { "Suspended" } else { "Synced" };
        fixture.wait_reason("central", "sync", reason, SOON).await?;
    }
    wait_note(&fixture, &note).await?;
    let longer = json!({"spec": with_note(&"x".repeat(5_001))});
    let refused = fixture.patch_sync("central", "sync", &longer).await.err();
    let refused = refused.map(|error| format!("{error:?}")).unwrap_or_default();
    ensure!(refused.contains("may not be more than 4096 bytes"), "{refused:?}");
    let shorter = "x".repeat(4_096);
    fixture.patch_sync("central", "sync", &json!({"spec": with_note(&shorter)})).await?;
    wait_note(&fixture, &shorter).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await
}

#[tokio::test]
async fn a_selector_invalid_since_an_upgrade_keeps_its_copies() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_labelled_namespace("app", &[("team", "a")]).await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "sync", &["app"], SOON).await?;
    set_validation(&cluster, false).await?;
    // Before the rule existed, it selected every namespace.
    let literal = selecting(&expression("team name", "DoesNotExist", &[]));
    let removed = json!({"destinationNamespaceSelector": {"matchLabels": null}});
    let patch = json!({"spec": merged(literal, &removed)});
    fixture.patch_sync("central", "sync", &patch).await?;
    set_validation(&cluster, true).await?;
    wait_stalled(&fixture, "sync", "\"team name\"").await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.create_config_map("central", "later", &[("a", "1")]).await?;
    fixture.create_sync("central", "later", one_to_one("central", "later", "app")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    // The finalizer can be removed although the spec is invalid.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    Ok(())
}
