//! Stops the operator, until none of its pods is left and the Lease is free.

use std::time::Duration;
use std::time::Instant;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::ListParams;
use kube::api::Patch;
use kube::core::Selector;
use serde_json::json;
use tokio::time::sleep;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::election::clock::boot_time;
use crate::election::lease_guard::LeaseView;
use crate::election::lease_guard::Observation;
use crate::election::lease_guard::Record;
use crate::election::lease_guard::Role;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::error::Error;
use crate::uninstall::progress::Progress;

/// The pause between two reads of the pods or the Lease.
const PAUSE: Duration = Duration::from_millis(500);
/// The minimum time until an abandoned Lease counts as expired: the default of the operator.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A Lease that was renewed so often after the last pod has terminated is held by another operator.
const RENEWALS: u32 = 2;

/// The scale of the operator's Deployment.
#[derive(Clone, Debug)]
pub struct DeploymentScale {
    /// Desired number of replicas; 0 without a Deployment.
    pub replicas: i32,
    /// The Deployment, if it exists.
    pub deployment: Option<Deployment>,
    /// Selector of its pods.
    selector: Selector,
}

/// Reads the scale of the Deployment. If the Deployment is gone, its pods may still run: they are
/// then selected by the default label.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn read_scale(
    client: &Client,
    deployment: &NamespacedName,
) -> Result<DeploymentScale, Error> {
    let NamespacedName { namespace, name } = deployment;
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let attempt = format!("read Deployment {deployment}");
    let found = unless_missing::<Deployment, _>(name, api.get(name).await);
    let found = found.map_err(|error| ApiFailure::of(&attempt, &error))?;
    let spec = found.clone().and_then(|deployment| deployment.spec);
    let replicas = spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let default = || LabelSelector {
        match_labels: Some([(names::LABEL_NAME.into(), names::APPLICATION.into())].into()),
        ..LabelSelector::default()
    };
    let selector = spec.map_or_else(default, |spec| spec.selector);
    // The API server rejects a Deployment with an invalid selector.
    let selector = Selector::try_from(selector).unwrap_or_default();
    Ok(DeploymentScale { replicas, deployment: found, selector })
}

/// Scales the Deployment to 0, and waits until no pod is left and the Lease is free.
///
/// # Errors
/// A call fails, or pods or a leader are left at the `deadline`.
pub async fn stop(
    client: &Client,
    deployment: &NamespacedName,
    scale: &DeploymentScale,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<(), Error> {
    if scale.replicas > 0 {
        let api: Api<Deployment> = Api::namespaced(client.clone(), &deployment.namespace);
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        let patched = api.patch_scale(&deployment.name, &requests::patch_parameters(), &none).await;
        let attempt = format!("scale Deployment {deployment} to 0");
        patched.map_err(|error| ApiFailure::of(&attempt, &error))?;
        progress(&format!("Deployment {deployment}: scaled from {} to 0", scale.replicas));
    }
    wait_for_no_pods(client, deployment, &scale.selector, deadline, progress).await?;
    wait_for_no_leader(client, &deployment.namespace, deadline, progress).await
}

async fn wait_for_no_pods(
    client: &Client,
    deployment: &NamespacedName,
    selector: &Selector,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &deployment.namespace);
    let selected = ListParams::default().labels_from(selector);
    let mut reported = String::new();
    loop {
        let pods = api.list(&selected).await.map_err(|error| {
            ApiFailure::of(&format!("list Pods in namespace {}", deployment.namespace), &error)
        })?;
        let left: Vec<_> = pods.items.into_iter().filter_map(name_if_running).collect();
        if left.is_empty() {
            return Ok(());
        }
        let pods = left.join(", ");
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::PodsLeft { deployment: deployment.clone(), pods });
        }
        if reported != pods {
            progress(&format!("Waiting until these pods have terminated: {pods}"));
            reported = pods;
        }
        sleep(PAUSE).await;
    }
}

/// The name of the pod, unless its containers have terminated for good.
fn name_if_running(pod: Pod) -> Option<String> {
    let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
    let is_finished = phase == "Succeeded" || phase == "Failed";
    if is_finished { None } else { pod.metadata.name }
}

/// A leader that is none of the pods, such as an operator that runs outside the cluster, would
/// repair what is undone. The Lease of a killed leader expires.
async fn wait_for_no_leader(
    client: &Client,
    namespace: &str,
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<(), Error> {
    // Untyped, since a malformed Lease must be readable, too.
    let kind = ApiResource::erase::<Lease>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let lease = NamespacedName::new(namespace, names::LEASE_NAME);
    let mut seen: Option<Observation> = None;
    let mut renewals = 0;
    loop {
        let found = unless_missing::<Lease, _>(&lease.name, api.get(&lease.name).await);
        let found =
            found.map_err(|error| ApiFailure::of(&format!("read Lease {lease}"), &error))?;
        // The namespace may be gone, with every pod in it.
        let Some(found) = found else { return Ok(()) };
        let record = Record::from_json(&serde_json::to_value(found).unwrap_or_default());
        match &seen {
            Some(seen) => renewals += u32::from(seen.record() != Some(&record)),
            None if record.is_released() => {}
            None => progress(&format!("Waiting until Lease {lease} is released or has expired")),
        }
        let now = boot_time();
        let found = Observation::after(seen, Some(record), now);
        let holder = match found.view(now, LEASE_DURATION, Role::Candidate) {
            LeaseView::Missing | LeaseView::Lease { is_free: true, .. } => return Ok(()),
            LeaseView::Lease { holder, .. } => holder,
        };
        if renewals >= RENEWALS || Instant::now() + PAUSE >= deadline {
            return Err(Error::LeaseHeld { holder, lease });
        }
        seen = Some(found);
        sleep(PAUSE).await;
    }
}

/// Permissions for stopping the Deployment `deployment`, in its own namespace.
#[must_use]
pub fn access(deployment: &str) -> Vec<PolicyRule> {
    let named = |name: &str, rule| PolicyRule { resource_names: Some(vec![name.into()]), ..rule };
    vec![
        named(deployment, rule("apps", "deployments", &["get"])),
        named(deployment, rule("apps", "deployments/scale", &["patch"])),
        rule("", "pods", &["list"]),
        named(names::LEASE_NAME, rule("coordination.k8s.io", "leases", &["get"])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: Option<&str>) -> Pod {
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": phase}});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn only_finished_pods_are_not_waited_for() {
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(name_if_running(pod(Some(phase))), None, "{phase}");
        }
        for phase in [None, Some("Pending"), Some("Running"), Some("Unknown")] {
            assert_eq!(name_if_running(pod(phase)).as_deref(), Some("a"), "{phase:?}");
        }
    }
}
