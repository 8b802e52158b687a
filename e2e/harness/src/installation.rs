//! Installs what the operator needs in a cluster before it runs: CRDs, permissions, policies, its
//! ServiceAccount.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names;
use configmapsync::names::POLICY_BOUNDS;
use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::OPERATOR_USER;
use testbed::control_plane::ControlPlane;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::permissions::limit_to;
use crate::scope;

/// The API server delays creates of a custom resource for this long after its CRD is established, so
/// that other API servers can observe the CRD (apiextensions-apiserver 1.35,
/// `customresource_handler.go`).
const CREATE_DELAY: SignedDuration = SignedDuration::from_secs(2);
const KINDS: [&str; 2] = ["configmapsyncs", "configmapsyncleaders"];
// The files of `deploy/`.
const PERMISSIONS: &str = "rbac.yaml";
const FLOW_SCHEMA: &str = "flow-schema.yaml";
const POLICIES: [&str; 2] = ["crds/consent.yaml", "policies.yaml"];
const LEADER_CRD: &str = "crds/configmapsyncleaders.yaml";

/// Installs everything in `deploy/` except the operator itself, and waits until its kinds are served
/// and its policies enforced.
///
/// Also creates a released Lease, as a leader leaves it after SIGTERM: if the Lease never existed,
/// the first leader waits for a second before its first write.
pub async fn install(control_plane: &ControlPlane) -> Result<()> {
    install_all_but_policies(control_plane).await?;
    install_policies(control_plane).await?;
    wait_settled(control_plane).await
}

/// As [`install`], without the policies.
pub async fn install_without_policies(control_plane: &ControlPlane) -> Result<()> {
    install_all_but_policies(control_plane).await?;
    wait_settled(control_plane).await
}

async fn install_all_but_policies(control_plane: &ControlPlane) -> Result<()> {
    for file in manifests()? {
        control_plane.apply_file(&file).await?;
    }
    control_plane.apply(service_account()).await?;
    control_plane.apply(released_lease()).await?;
    if scope::is_limited() {
        limit(control_plane).await?;
    }
    wait_served(&control_plane.client()).await
}

/// Creates the namespaces of a limited operator, and leaves it permissions there only.
async fn limit(control_plane: &ControlPlane) -> Result<()> {
    for name in scope::NAMESPACES {
        let metadata = json!({"name": name});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        control_plane.apply(namespace).await?;
    }
    limit_to(control_plane, &scope::NAMESPACES).await
}

/// Installs the policies only, and waits until they are enforced, except the fence: the API server
/// enforces it after it has discovered the kind of its parameter.
pub async fn install_policies(control_plane: &ControlPlane) -> Result<()> {
    for file in POLICIES {
        control_plane.apply_file(&manifest(file)).await?;
    }
    wait_bounds(control_plane).await
}

/// Removes the permissions, the ServiceAccount and the CRD `ConfigMapSyncLeader`. The CRD
/// `ConfigMapSync`, its objects and the policies stay; for the policies see [`remove_policies`].
pub async fn uninstall(control_plane: &ControlPlane) -> Result<()> {
    for file in [FLOW_SCHEMA, PERMISSIONS] {
        control_plane.delete_file(&manifest(file)).await?;
    }
    control_plane.delete(service_account()).await?;
    control_plane.delete_file(&manifest(LEADER_CRD)).await?;
    let client = control_plane.client();
    let kinds = Api::<CustomResourceDefinition>::all(client);
    let name = format!("{}.{}", KINDS[1], names::GROUP);
    until("the CRD ConfigMapSyncLeader is deleted", Duration::from_secs(30), || async {
        let found = kinds.get_opt(&name).await?;
        Ok(Seen::from_bool(found.is_none(), || "it exists".to_owned()))
    })
    .await
}

/// Removes the policies and their bindings.
pub async fn remove_policies(control_plane: &ControlPlane) -> Result<()> {
    for file in POLICIES {
        control_plane.delete_file(&manifest(file)).await?;
    }
    Ok(())
}

/// Waits until the API server no longer delays creates of our kinds.
async fn wait_settled(control_plane: &ControlPlane) -> Result<()> {
    let kinds = Api::<CustomResourceDefinition>::all(control_plane.client());
    for kind in KINDS {
        let name = format!("{kind}.{}", names::GROUP);
        until(
            format!("the CRD {name} has been established for {CREATE_DELAY:?}"),
            Duration::from_secs(30),
            || async {
                let age = established(&kinds.get(&name).await?)
                    .map(|since| Timestamp::now().duration_since(since));
                let is_settled = age.is_some_and(|age| age >= CREATE_DELAY);
                Ok(Seen::from_bool(is_settled, || format!("established for {age:?}")))
            },
        )
        .await?;
    }
    Ok(())
}

/// Waits until the policy `bounds` is enforced. The API server loads new policies once a second, all
/// of them together.
pub async fn wait_bounds(control_plane: &ControlPlane) -> Result<()> {
    let unmarked = json!({"metadata": {"generateName": "e2e-bounds-"}}).to_string();
    until("the API server enforces the policy bounds", Duration::from_secs(30), || async {
        let namespace = scope::trial_namespace();
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        let request = Request::post(path)
            .header("Content-Type", "application/json")
            .header("Impersonate-User", OPERATOR_USER)
            .body(unmarked.clone().into_bytes())?;
        Ok(match control_plane.client().request_text(request).await {
            Ok(_) => Seen::NotYet("the operator may create any ConfigMap".to_owned()),
            Err(error) if error.to_string().contains(POLICY_BOUNDS) => Seen::Done(()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await
}

/// When a CRD was established; `None` if it is not.
fn established(kind: &CustomResourceDefinition) -> Option<Timestamp> {
    let conditions = kind.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == "Established" && it.status == "True")?;
    found.last_transition_time.as_ref().map(|since| since.0)
}

fn service_account() -> Value {
    let metadata = json!({"name": OPERATOR, "namespace": OPERATOR});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

fn released_lease() -> Value {
    let past = "2026-01-01T00:00:00.000000Z";
    let spec = json!({
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": past,
        "renewTime": past,
        "leaseTransitions": 0,
    });
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": spec,
    })
}

/// The CRDs, the namespace, the permissions and the flow schema.
fn manifests() -> Result<Vec<PathBuf>> {
    let crds = manifest("crds");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crds).with_context(|| format!("reading {}", crds.display()))? {
        let file = entry?.path();
        let is_definition = |name: &OsStr| name != "kustomization.yaml" && name != "consent.yaml";
        if file.extension().is_some_and(|extension| extension == "yaml")
            && file.file_name().is_some_and(is_definition)
        {
            files.push(file);
        }
    }
    files.sort();
    files.extend(["namespace.yaml", PERMISSIONS, FLOW_SCHEMA].map(manifest));
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
