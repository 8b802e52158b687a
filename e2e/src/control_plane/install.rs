//! What the operator needs in a cluster before it runs: its kinds, its rights, its account.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::POLICY_BOUNDS;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DeleteParams;
use kube::api::DynamicObject;
use kube::api::GroupVersionKind;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::wait::Seen;
use crate::wait::until;

/// The namespace that the operator lives in, and the name of all that is installed.
pub const OPERATOR: &str = "configmapsync";
/// How the API server knows the operator.
pub const OPERATOR_USER: &str = "system:serviceaccount:configmapsync:configmapsync";
/// How the API server knows who runs `uninstall` for Helm.
pub const UNINSTALL_USER: &str = "system:serviceaccount:configmapsync:configmapsync-uninstall";
const FIELD_MANAGER: &str = "e2e";
const KINDS: [&str; 2] = ["configmapsyncs", "configmapsyncleaders"];

impl ControlPlane {
    /// Installs everything but the operator itself from `deploy/`, and waits until its kinds are
    /// served and the policies enforced. The Lease is there too, as a leader leaves it that was
    /// asked to stop: where it has never been, the first leader waits until that is no accident.
    ///
    /// # Errors
    /// A manifest cannot be read or is refused, or is not followed in time.
    pub async fn install(&self) -> Result<()> {
        for file in manifests()? {
            self.apply_file(&file).await?;
        }
        let metadata = json!({"name": OPERATOR, "namespace": OPERATOR});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        self.apply(account).await?;
        self.apply(released_lease()).await?;
        wait_served(&self.client()).await?;
        self.wait_bounds().await
    }

    /// Waits until the operator is kept within its bounds. The API server looks for new policies
    /// once a second, and takes up all that it finds.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn wait_bounds(&self) -> Result<()> {
        let unmarked = json!({"metadata": {"generateName": "e2e-bounds-"}}).to_string();
        until("the operator is kept within its bounds", Duration::from_secs(30), || async {
            let request = Request::post("/api/v1/namespaces/default/configmaps?dryRun=All")
                .header("Content-Type", "application/json")
                .header("Impersonate-User", OPERATOR_USER)
                .body(unmarked.clone().into_bytes())?;
            Ok(match self.client().request_text(request).await {
                Ok(_) => Seen::NotYet("it may write anything".to_owned()),
                Err(error) if error.to_string().contains(POLICY_BOUNDS) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
        .await
    }

    /// Removes an admission policy and the binding of the same name.
    ///
    /// # Errors
    /// The API server refuses, or has none of that name.
    pub async fn remove_policy(&self, name: &str) -> Result<()> {
        let context = || format!("removing the policy {name}");
        let (client, options) = (self.client(), DeleteParams::default());
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
        bindings.delete(name, &options).await.with_context(context)?;
        let policies = Api::<ValidatingAdmissionPolicy>::all(client);
        policies.delete(name, &options).await.with_context(context)?;
        Ok(())
    }

    /// Applies every object in a YAML file.
    ///
    /// # Errors
    /// The file cannot be read, or an object is refused.
    pub async fn apply_file(&self, file: &Path) -> Result<()> {
        let context = || format!("applying {}", file.display());
        let text = fs::read_to_string(file).with_context(context)?;
        for object in serde_saphyr::from_multiple::<Value>(&text).with_context(context)? {
            self.apply(object).await.with_context(context)?;
        }
        Ok(())
    }

    /// Applies one object (server-side).
    ///
    /// # Errors
    /// It is no object of Kubernetes, or is refused.
    pub async fn apply(&self, object: Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(object).context("no object")?;
        let types = object.types.as_ref().context("an object without apiVersion and kind")?;
        let name = object.metadata.name.as_deref().context("an object without a name")?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &kind),
            _ => Api::all_with(self.client(), &kind),
        };
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
            .await
            .with_context(|| format!("applying the {} {name}", types.kind))
    }
}

fn released_lease() -> Value {
    let then = "2026-01-01T00:00:00.000000Z";
    let spec = json!({
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": then,
        "renewTime": then,
        "leaseTransitions": 0,
    });
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": spec,
    })
}

/// The CRDs, the namespace, the rights, then what is refused whatever the rights.
fn manifests() -> Result<Vec<PathBuf>> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let crds = deploy.join("crds");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crds).with_context(|| format!("reading {}", crds.display()))? {
        let file = entry?.path();
        let kustomization = file.file_name().is_some_and(|name| name == "kustomization.yaml");
        if file.extension().is_some_and(|extension| extension == "yaml") && !kustomization {
            files.push(file);
        }
    }
    files.sort();
    let others = ["namespace.yaml", "rbac.yaml", "policies.yaml", "flow-schema.yaml"];
    files.extend(others.map(|name| deploy.join(name)));
    Ok(files)
}

async fn wait_served(client: &Client) -> Result<()> {
    for kind in KINDS {
        until(format!("the API server serves {kind}"), Duration::from_secs(30), || async {
            let path = format!("/apis/apps.nishaf.info/v1/{kind}?limit=1");
            let request = Request::get(path).body(Vec::new())?;
            Ok(match client.request_text(request).await {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
        .await?;
    }
    Ok(())
}
