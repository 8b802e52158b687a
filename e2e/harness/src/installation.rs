//! What the operator needs in a cluster before it runs: its kinds, its rights, its account.

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

/// For so long the API server waits before it creates an object of a kind, so that others may hear
/// of the kind (apiextensions-apiserver 1.35, `customresource_handler.go`).
const JUST_ESTABLISHED: SignedDuration = SignedDuration::from_secs(2);
const KINDS: [&str; 2] = ["configmapsyncs", "configmapsyncleaders"];
// Of the plain manifests.
const RIGHTS: &str = "rbac.yaml";
const FLOW_SCHEMA: &str = "flow-schema.yaml";
const POLICIES: &str = "policies.yaml";
const KIND_OF_ANNOUNCEMENTS: &str = "crds/configmapsyncleaders.yaml";

/// Installs everything but the operator itself from `deploy/`, and waits until its kinds are
/// served and the policies enforced. The Lease is there too, as a leader leaves it that was
/// asked to stop: where it has never been, the first leader waits until that is no accident.
pub async fn install(control_plane: &ControlPlane) -> Result<()> {
    install_all_but_policies(control_plane).await?;
    install_policies(control_plane).await?;
    wait_settled(control_plane).await
}

/// As [`install`], but for the policies.
pub async fn install_without_policies(control_plane: &ControlPlane) -> Result<()> {
    install_all_but_policies(control_plane).await?;
    wait_settled(control_plane).await
}

async fn install_all_but_policies(control_plane: &ControlPlane) -> Result<()> {
    for file in manifests()? {
        control_plane.apply_file(&file).await?;
    }
    control_plane.apply(account()).await?;
    control_plane.apply(released_lease()).await?;
    wait_served(&control_plane.client()).await
}

/// Installs the policies alone, and waits until they are enforced; the fence is when the API
/// server has found the kind of its parameter, which this does not wait for.
pub async fn install_policies(control_plane: &ControlPlane) -> Result<()> {
    control_plane.apply_file(&manifest(POLICIES)).await?;
    wait_bounds(control_plane).await
}

/// Removes what a person removes who wants the operator no more, but keeps the
/// `ConfigMapSync`s: rights, account, and the kind of announcements. The policies are another
/// matter: see [`remove_policies`].
pub async fn uninstall(control_plane: &ControlPlane) -> Result<()> {
    for file in [FLOW_SCHEMA, RIGHTS] {
        control_plane.delete_file(&manifest(file)).await?;
    }
    control_plane.delete(account()).await?;
    control_plane.delete_file(&manifest(KIND_OF_ANNOUNCEMENTS)).await?;
    let client = control_plane.client();
    let kinds = Api::<CustomResourceDefinition>::all(client);
    let name = format!("{}.{}", KINDS[1], names::GROUP);
    until("the kind of announcements is gone", Duration::from_secs(30), || async {
        let found = kinds.get_opt(&name).await?;
        Ok(Seen::from_bool(found.is_none(), || "it is there".to_owned()))
    })
    .await
}

/// Removes the policies, and their bindings.
pub async fn remove_policies(control_plane: &ControlPlane) -> Result<()> {
    control_plane.delete_file(&manifest(POLICIES)).await
}

/// Waits until the API server treats the kinds as it will from then on.
async fn wait_settled(control_plane: &ControlPlane) -> Result<()> {
    let kinds = Api::<CustomResourceDefinition>::all(control_plane.client());
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
pub async fn wait_bounds(control_plane: &ControlPlane) -> Result<()> {
    let unmarked = json!({"metadata": {"generateName": "e2e-bounds-"}}).to_string();
    until("the operator is kept within its bounds", Duration::from_secs(30), || async {
        let request = Request::post("/api/v1/namespaces/default/configmaps?dryRun=All")
            .header("Content-Type", "application/json")
            .header("Impersonate-User", OPERATOR_USER)
            .body(unmarked.clone().into_bytes())?;
        Ok(match control_plane.client().request_text(request).await {
            Ok(_) => Seen::NotYet("it may write anything".to_owned()),
            Err(error) if error.to_string().contains(POLICY_BOUNDS) => Seen::Done(()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await
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

/// The CRDs, the namespace, the rights.
fn manifests() -> Result<Vec<PathBuf>> {
    let crds = manifest("crds");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crds).with_context(|| format!("reading {}", crds.display()))? {
        let file = entry?.path();
        let kustomization = file.file_name().is_some_and(|name| name == "kustomization.yaml");
        if file.extension().is_some_and(|extension| extension == "yaml") && !kustomization {
            files.push(file);
        }
    }
    files.sort();
    files.extend(["namespace.yaml", RIGHTS, FLOW_SCHEMA].map(manifest));
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
