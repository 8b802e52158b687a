//! What lies in storage in spite of the rules.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::StoredConfigMapSync;
use configmapsync::api::custom_resource_definition;
use configmapsync::names::POLICY_CONSENT;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bad_input::changed;
use crate::bad_input::complaint_about_spec;
use crate::bad_input::is_stalled;
use crate::bad_input::plain;

/// Waits until the sync of `central` is as wanted, whatever its spec looks like.
pub async fn wait_stored(
    client: &Client,
    name: &str,
    deadline: Duration,
    fits: impl Fn(&StoredConfigMapSync) -> bool,
) -> Result<()> {
    let syncs: Api<StoredConfigMapSync> = Api::namespaced(client.clone(), "central");
    until(format!("{name} is as wanted"), deadline, || async {
        let sync = syncs.get(name).await?;
        Ok(Seen::from_bool(fits(&sync), || format!("{sync:?}")))
    })
    .await
}

/// Objects that no rule would let in: name, spec, and what has to be named.
fn bad() -> Vec<(&'static str, Value, &'static str)> {
    let both = json!({"destinationNamespaceSelector": {}});
    let itself = json!({"destinationNamespace": "central"});
    vec![
        ("upper", changed(plain(), &json!({"configMapName": "Shared"})), "configMapName"),
        ("namespace", changed(plain(), &json!({"sourceNamespace": "a/b"})), "sourceNamespace"),
        ("blank", changed(plain(), &json!({"configMapName": ""})), "configMapName"),
        ("long", changed(plain(), &json!({"destinationName": "a".repeat(254)})), "destinationName"),
        ("nameless", changed(plain(), &json!({"configMapName": null})), "configMapName"),
        ("policy", changed(plain(), &json!({"deletionPolicy": "Keep"})), "Keep"),
        ("both", changed(plain(), &both), "exactly one of spec.destinationNamespace and"),
        ("neither", changed(plain(), &json!({"destinationNamespace": null})), "exactly one of"),
        ("itself", changed(plain(), &itself), "the same ConfigMap"),
        ("root", changed(plain(), &json!({"configMapName": "kube-root-ca.crt"})), "kube-root-ca"),
        ("sourceless", changed(plain(), &json!({"sourceNamespace": null})), "sourceNamespace"),
        ("flag", changed(plain(), &json!({"suspend": "yes"})), "spec cannot be read"),
        ("empty", json!({}), "spec cannot be read"),
    ]
}

/// Objects for which rules cannot even be evaluated: the API server then lets nobody patch them,
/// their status included, so that only the log can tell.
fn worse() -> Vec<(&'static str, Value)> {
    vec![("number", changed(plain(), &json!({"sourceNamespace": 7}))), ("text", json!("text"))]
}

/// Lets the API server store anything, or go back to what is installed, and waits until it does.
pub async fn check_nothing(world: &OperatorCluster, nothing: bool) -> Result<()> {
    let client = world.control_plane.client();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    if nothing {
        let mut definition = serde_json::to_value(custom_resource_definition())?;
        definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
        definition["kind"] = json!("CustomResourceDefinition");
        let free = json!({"x-kubernetes-preserve-unknown-fields": true});
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "properties": {"spec": free, "status": free}});
        world.control_plane.apply(definition).await?;
        // Nor may the policy be asked, which refuses what it cannot make sense of.
        bindings.delete(POLICY_CONSENT, &DeleteParams::default()).await?;
    } else {
        for file in ["crds/configmapsyncs.yaml", "policies.yaml"] {
            let file = manifest(file);
            world.control_plane.apply_file(&file).await?;
        }
    }
    until(format!("the API server accepts nonsense: {nothing}"), SOON, || async {
        let said = complaint_about_spec(&client, &json!({"destinationNamespace": 7})).await?;
        Ok(Seen::from_bool(said.is_none() == nothing, || format!("{said:?}")))
    })
    .await
}

/// Stores a sync of `central` with this spec.
pub async fn store(client: &Client, name: &str, spec: &Value) -> Result<()> {
    let sync = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": name},
        "spec": spec,
    });
    let url = "/apis/apps.nishaf.info/v1/namespaces/central/configmapsyncs";
    let request = Request::post(url)
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&sync)?)?;
    client.request::<Value>(request).await.with_context(|| format!("storing {name}"))?;
    Ok(())
}

#[tokio::test]
async fn what_was_stored_in_spite_of_the_rules_is_told_and_harms_nobody() -> Result<()> {
    let mut world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    check_nothing(&world, true).await?;
    let objects = bad().into_iter().map(|(name, spec, _)| (name, spec));
    let objects: Vec<_> = objects.chain(worse()).collect();
    for (name, spec) in &objects {
        store(&fixture.client(), name, spec).await?;
    }
    check_nothing(&world, false).await?;

    let mark = world.audit().mark().await?;
    world.add_replicas(1).await?;
    for (name, _, words) in bad() {
        is_stalled(&fixture, name, words).await?;
    }
    for (name, _) in worse() {
        is_logged(world.replica()?, name).await?;
    }
    let events = world.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.resource() == "configmaps");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    fixture.create_sync("central", "good", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "good", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    for (name, _) in &objects {
        goes(&fixture.client(), name).await?;
    }
    fixture.wait_reason("central", "good", "Synced", SOON).await?;
    Ok(())
}

/// Waits until the operator has logged what is wrong with the sync.
async fn is_logged(replica: &Replica, name: &str) -> Result<()> {
    let sync = format!("central/{name}");
    until(format!("the log tells that {sync} is wrong"), SOON, || async {
        let lines = replica.logs().iter().map(ToString::to_string).collect::<Vec<_>>();
        let words = ["InvalidSpec", "spec cannot be read", &*sync];
        let told = lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
        Ok(Seen::from_bool(told, || replica.process().tail(5)))
    })
    .await
}

/// Deletes the sync, and waits until it is gone.
async fn goes(client: &Client, name: &str) -> Result<()> {
    let syncs: Api<StoredConfigMapSync> = Api::namespaced(client.clone(), "central");
    let deleted = syncs.delete(name, &DeleteParams::default()).await;
    deleted.with_context(|| format!("deleting {name}"))?;
    until(format!("{name} is gone"), SOON, || async {
        let found = syncs.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await
}
