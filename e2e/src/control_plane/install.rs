//! What the operator needs in a cluster before it runs: its kinds, its rights, its account.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names;
use configmapsync::names::POLICY_BOUNDS;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
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
/// For so long the API server waits before it creates an object of a kind, so that others may hear
/// of the kind (apiextensions-apiserver 1.35, `customresource_handler.go`).
const JUST_ESTABLISHED: SignedDuration = SignedDuration::from_secs(2);
const KINDS: [&str; 2] = ["configmapsyncs", "configmapsyncleaders"];
// Of the plain manifests.
const RIGHTS: &str = "rbac.yaml";
const FLOW_SCHEMA: &str = "flow-schema.yaml";
const POLICIES: &str = "policies.yaml";
const KIND_OF_ANNOUNCEMENTS: &str = "crds/configmapsyncleaders.yaml";

impl ControlPlane {
    /// Installs everything but the operator itself from `deploy/`, and waits until its kinds are
    /// served and the policies enforced. The Lease is there too, as a leader leaves it that was
    /// asked to stop: where it has never been, the first leader waits until that is no accident.
    ///
    /// # Errors
    /// A manifest cannot be read or is refused, or is not followed in time.
    pub async fn install(&self) -> Result<()> {
        self.install_all_but_policies().await?;
        self.install_policies().await?;
        self.wait_settled().await
    }

    /// As [`ControlPlane::install`], but for the policies.
    ///
    /// # Errors
    /// As [`ControlPlane::install`].
    pub async fn install_without_policies(&self) -> Result<()> {
        self.install_all_but_policies().await?;
        self.wait_settled().await
    }

    async fn install_all_but_policies(&self) -> Result<()> {
        for file in manifests()? {
            self.apply_file(&file).await?;
        }
        self.apply(account()).await?;
        self.apply(released_lease()).await?;
        wait_served(&self.client()).await
    }

    /// Installs the policies alone, and waits until they are enforced; the fence is when the API
    /// server has found the kind of its parameter, which this does not wait for.
    ///
    /// # Errors
    /// As [`ControlPlane::install`].
    pub async fn install_policies(&self) -> Result<()> {
        self.apply_file(&deploy(POLICIES)).await?;
        self.wait_bounds().await
    }

    /// Removes what a person removes who wants the operator no more, but keeps the
    /// `ConfigMapSync`s: rights, account, and the kind of announcements. The policies are another
    /// matter: see [`ControlPlane::remove_policies`].
    ///
    /// # Errors
    /// The API server refuses, or the kind is still there when it should be gone.
    pub async fn uninstall(&self) -> Result<()> {
        for file in [FLOW_SCHEMA, RIGHTS] {
            self.delete_file(&deploy(file)).await?;
        }
        self.delete(account()).await?;
        self.delete_file(&deploy(KIND_OF_ANNOUNCEMENTS)).await?;
        let client = self.client();
        let kinds = Api::<CustomResourceDefinition>::all(client);
        let name = format!("{}.{}", KINDS[1], names::GROUP);
        until("the kind of announcements is gone", Duration::from_secs(30), || async {
            let found = kinds.get_opt(&name).await?;
            Ok(Seen::from_bool(found.is_none(), || "it is there".to_owned()))
        })
        .await
    }

    /// Removes the policies, and their bindings.
    ///
    /// # Errors
    /// The API server refuses, or has one of them not.
    pub async fn remove_policies(&self) -> Result<()> {
        self.delete_file(&deploy(POLICIES)).await
    }

    /// Waits until the API server treats the kinds as it will from then on.
    async fn wait_settled(&self) -> Result<()> {
        let kinds = Api::<CustomResourceDefinition>::all(self.client());
        for kind in KINDS {
            let name = format!("{kind}.{}", names::GROUP);
            until(format!("{name} is no news"), Duration::from_secs(30), || async {
                let age = established(&kinds.get(&name).await?)
                    .map(|since| Timestamp::now().duration_since(since));
                let is_settled = age.is_some_and(|age| age >= JUST_ESTABLISHED);
                Ok(Seen::from_bool(is_settled, || format!("established since {age:?}")))
            })
            .await?;
        }
        Ok(())
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
        for object in objects(file).with_context(context)? {
            self.apply(object).await.with_context(context)?;
        }
        Ok(())
    }

    async fn delete_file(&self, file: &Path) -> Result<()> {
        let context = || format!("deleting what is in {}", file.display());
        // Bindings before what they bind.
        for object in objects(file).with_context(context)?.into_iter().rev() {
            self.delete(object).await.with_context(context)?;
        }
        Ok(())
    }

    async fn delete(&self, object: Value) -> Result<()> {
        let (api, object) = self.api_of(object)?;
        let name = object.name_any();
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting {name}"))?;
        Ok(())
    }

    /// Applies one object (server-side).
    ///
    /// # Errors
    /// It is no object of Kubernetes, or is refused.
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

    /// Where an object is written to.
    fn api_of(&self, object: Value) -> Result<(Api<DynamicObject>, DynamicObject)> {
        let object: DynamicObject = serde_json::from_value(object).context("no object")?;
        let types = object.types.as_ref().context("an object without apiVersion and kind")?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
        let api = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &kind),
            _ => Api::all_with(self.client(), &kind),
        };
        Ok((api, object))
    }
}

/// Since when a kind is established, if it is.
fn established(kind: &CustomResourceDefinition) -> Option<Timestamp> {
    let conditions = kind.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == "Established" && it.status == "True")?;
    found.last_transition_time.as_ref().map(|since| since.0)
}

fn account() -> Value {
    let metadata = json!({"name": OPERATOR, "namespace": OPERATOR});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
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

/// A file, or a folder, of the plain manifests.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn objects(file: &Path) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(&fs::read_to_string(file)?)?)
}

/// The CRDs, the namespace, the rights.
fn manifests() -> Result<Vec<PathBuf>> {
    let crds = deploy("crds");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crds).with_context(|| format!("reading {}", crds.display()))? {
        let file = entry?.path();
        let kustomization = file.file_name().is_some_and(|name| name == "kustomization.yaml");
        if file.extension().is_some_and(|extension| extension == "yaml") && !kustomization {
            files.push(file);
        }
    }
    files.sort();
    files.extend(["namespace.yaml", RIGHTS, FLOW_SCHEMA].map(deploy));
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
