//! Applying and deleting objects, and files of objects.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::ApiResource;
use kube::api::DeleteParams;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;

use crate::control_plane::running::ControlPlane;

const FIELD_MANAGER: &str = "e2e";

impl ControlPlane {
    /// Applies every object in a YAML file.
    pub async fn apply_file(&self, file: &Path) -> Result<()> {
        let context = || format!("applying {}", file.display());
        for object in objects(file).with_context(context)? {
            self.apply(object).await.with_context(context)?;
        }
        Ok(())
    }

    /// Deletes every object in a YAML file, in reverse order.
    pub async fn delete_file(&self, file: &Path) -> Result<()> {
        let context = || format!("deleting what is in {}", file.display());
        // Bindings before the policies that they bind.
        for object in objects(file).with_context(context)?.into_iter().rev() {
            self.delete(object).await.with_context(context)?;
        }
        Ok(())
    }

    /// Deletes one object.
    pub async fn delete(&self, object: Value) -> Result<()> {
        let (api, object) = self.api_of(object)?;
        let name = object.name_any();
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting {name}"))?;
        Ok(())
    }

    /// Applies one object (server-side).
    pub async fn apply(&self, object: Value) -> Result<DynamicObject> {
        let (api, object) = self.api_of(object)?;
        let name = object.metadata.name.as_deref().context("an object without a name")?;
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
            .await
            .with_context(|| {
                let kind = object.types.as_ref().map(|types| types.kind.as_str());
                format!("applying the {} {name}", kind.unwrap_or_default())
            })
    }

    /// The API for an object.
    fn api_of(&self, object: Value) -> Result<(Api<DynamicObject>, DynamicObject)> {
        let object: DynamicObject =
            serde_json::from_value(object).context("not a Kubernetes object")?;
        let types = object.types.as_ref().context("an object without apiVersion and kind")?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let api = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &kind),
            _ => Api::all_with(self.client(), &kind),
        };
        Ok((api, object))
    }

    /// Removes an admission policy and the binding of the same name.
    pub async fn remove_policy(&self, name: &str) -> Result<()> {
        let context = || format!("removing the policy {name}");
        let (client, options) = (self.client(), DeleteParams::default());
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
        bindings.delete(name, &options).await.with_context(context)?;
        let policies = Api::<ValidatingAdmissionPolicy>::all(client);
        policies.delete(name, &options).await.with_context(context)?;
        Ok(())
    }
}

fn objects(file: &Path) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(&fs::read_to_string(file)?)?)
}
