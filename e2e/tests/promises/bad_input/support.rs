//! ConfigMapSyncs with invalid specs, and how the API server treats them.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::StoredConfigMapSync;
use configmapsync::api::custom_resource_definition;
use configmapsync::names::POLICY_CONSENT;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::Value;
use serde_json::json;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

pub const SYNCS: &str = "/apis/apps.nishaf.info/v1/namespaces/default/configmapsyncs";
/// Stores nothing, and refuses unknown fields as `kubectl` does.
pub const DRY_RUN: &str = "dryRun=All&fieldValidation=Strict";

/// A spec with the required fields only.
pub fn minimal_spec() -> Value {
    json!({
        "sourceNamespace": "central",
        "configMapName": "shared",
        "destinationNamespace": "app",
    })
}

/// `base` with a merge patch applied: `null` removes a field.
pub fn merged(mut base: Value, change: &Value) -> Value {
    json_patch::merge(&mut base, change);
    base
}

/// The message with which the API server refuses a request; `None` if it accepts it.
pub async fn refusal(client: &Client, request: Request<Vec<u8>>) -> Result<Option<String>> {
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("sending a request to the API server"),
    }
}

pub async fn refusal_of_sync(client: &Client, sync: &Value) -> Result<Option<String>> {
    let request = Request::post(format!("{SYNCS}?{DRY_RUN}"))
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(sync)?)?;
    refusal(client, request).await
}

pub async fn refusal_of_spec(client: &Client, spec: &Value) -> Result<Option<String>> {
    let sync = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": "checked"},
        "spec": spec,
    });
    refusal_of_sync(client, &sync).await
}

/// Reads the ConfigMapSync `central/NAME`, whose spec may be invalid.
pub async fn stored_sync(client: &Client, name: &str) -> Result<StoredConfigMapSync> {
    let uri = format!("/apis/apps.nishaf.info/v1/namespaces/central/configmapsyncs/{name}");
    let read = client.request(Request::get(uri).body(Vec::new())?).await;
    read.with_context(|| format!("reading the ConfigMapSync central/{name}"))
}

/// Waits until the ConfigMapSync `central/NAME`, whose spec may be invalid, satisfies `fits`.
pub async fn wait_stored(
    client: &Client,
    name: &str,
    deadline: Duration,
    fits: impl Fn(&StoredConfigMapSync) -> bool,
) -> Result<()> {
    until(format!("ConfigMapSync central/{name} has the expected status"), deadline, || async {
        let sync = stored_sync(client, name).await?;
        Ok(Seen::from_bool(fits(&sync), || format!("{sync:?}")))
    })
    .await
}

/// Waits until the ConfigMapSync `central/NAME` is stalled as `InvalidSpec`, with these words.
pub async fn wait_stalled(fixture: &Fixture, name: &str, words: &str) -> Result<()> {
    wait_stored(&fixture.client(), name, SOON, |sync| {
        let conditions = &sync.status.conditions;
        let condition = |type_: &str, status: &str| {
            conditions.iter().any(|it| {
                it.type_ == type_
                    && it.status == status
                    && it.reason == "InvalidSpec"
                    && it.message.contains(words)
            })
        };
        condition("Ready", "False") && condition("Stalled", "True")
    })
    .await
    .with_context(|| format!("waiting for {name} to be InvalidSpec with {words:?}"))
}

/// Restores the validation of ConfigMapSyncs at admission, or removes it, and waits until that
/// takes effect.
pub async fn set_validation(cluster: &OperatorCluster, enabled: bool) -> Result<()> {
    let client = cluster.control_plane.client();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    if enabled {
        for file in ["crds/configmapsyncs.yaml", "crds/consent.yaml"] {
            let file = manifest(file);
            cluster.control_plane.apply_file(&file).await?;
        }
    } else {
        let mut definition = serde_json::to_value(custom_resource_definition())?;
        definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
        definition["kind"] = json!("CustomResourceDefinition");
        let any = json!({"x-kubernetes-preserve-unknown-fields": true});
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "properties": {"spec": any, "status": any}});
        cluster.control_plane.apply(definition).await?;
        // The consent policy refuses specs that it cannot evaluate.
        bindings.delete(POLICY_CONSENT, &DeleteParams::default()).await?;
    }
    let what = if enabled { "refuses" } else { "accepts" };
    until(format!("the API server {what} an invalid spec"), SOON, || async {
        let refusal = refusal_of_spec(&client, &json!({"destinationNamespace": 7})).await?;
        Ok(Seen::from_bool(refusal.is_some() == enabled, || format!("{refusal:?}")))
    })
    .await
}

/// Creates the ConfigMapSync `central/NAME` with this spec.
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
    client
        .request::<Value>(request)
        .await
        .with_context(|| format!("creating the ConfigMapSync central/{name}"))?;
    Ok(())
}
