//! The manifests in `deploy/samples`.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::PostParams;
use serde_json::Value;
use testbed::repository;

/// The name of the source and of its copy.
pub const CONFIG_MAP: &str = "shared-config";
/// The namespace of the source.
pub const SOURCE_NAMESPACE: &str = "config-central";
/// The namespace of the copy.
pub const COPY_NAMESPACE: &str = "my-app-namespace";
/// The name of the `ConfigMapSync`.
pub const SYNC: &str = "my-config-sync";

/// Creates the objects of `deploy/samples/<name>`, unchanged.
pub async fn create(client: &Client, name: &str) -> Result<()> {
    let file = repository::root().join("deploy/samples").join(name);
    let context = || format!("creating the objects of {}", file.display());
    let text = fs::read_to_string(&file).with_context(context)?;
    for value in serde_saphyr::from_multiple::<Value>(&text).with_context(context)? {
        create_object(client, value).await.with_context(context)?;
    }
    Ok(())
}

async fn create_object(client: &Client, value: Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(value).context("not a Kubernetes object")?;
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    let client = client.clone();
    let api: Api<DynamicObject> = match (&object.metadata.namespace, types.kind.as_str()) {
        (Some(namespace), _) => Api::namespaced_with(client, namespace, &kind),
        (None, "Namespace") => Api::all_with(client, &kind),
        (None, _) => Api::namespaced_with(client, "default", &kind),
    };
    let name = format!("{} {}", types.kind, object.metadata.name.as_deref().unwrap_or("?"));
    api.create(&PostParams::default(), &object).await.context(name)?;
    Ok(())
}
