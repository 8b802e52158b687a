//! Stops the operator: none of its pods is left, and nobody leads.

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
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::Error;
use crate::uninstall::Tell;

/// How long to rest between two looks at pods or Lease.
const PAUSE: Duration = Duration::from_millis(500);
/// The least that an abandoned Lease is waited for: what the operator declares by default.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A Lease that was renewed so often while none of our pods was left is held by somebody else.
const RENEWALS: u32 = 2;

/// How the Deployment is scaled.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// To so many replicas; without a Deployment, none.
    pub replicas: i32,
    /// What finds its pods.
    selector: Selector,
}

/// Looks at the Deployment. One that is gone may have left pods, which carry our usual labels.
///
/// # Errors
/// It cannot be read.
pub async fn scaled(client: &Client, deployment: &NamespacedName) -> Result<Scaled, Error> {
    let NamespacedName { namespace, name } = deployment;
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let attempt = format!("read Deployment {deployment}");
    let found = api.get_opt(name).await.map_err(|source| Error::Read { attempt, source })?;
    let spec = found.and_then(|deployment| deployment.spec);
    let replicas = spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let usual = || LabelSelector {
        match_labels: Some([(names::LABEL_NAME.into(), names::APPLICATION.into())].into()),
        ..LabelSelector::default()
    };
    let selector = spec.map_or_else(usual, |spec| spec.selector);
    // The API server accepts no Deployment whose selector cannot be read.
    let selector = Selector::try_from(selector).unwrap_or_default();
    Ok(Scaled { replicas, selector })
}

/// Scales the Deployment to 0, and waits until no pod is left and nobody leads.
///
/// # Errors
/// Something is refused, or goes on until the `deadline`.
pub async fn stop(
    client: &Client,
    deployment: &NamespacedName,
    scaled: &Scaled,
    deadline: Instant,
    tell: Tell<'_>,
) -> Result<(), Error> {
    if scaled.replicas > 0 {
        let api: Api<Deployment> = Api::namespaced(client.clone(), &deployment.namespace);
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        let patched = api.patch_scale(&deployment.name, &requests::patch_parameters(), &none).await;
        let refused = |source| Error::Scale { deployment: deployment.clone(), source };
        patched.map_err(refused)?;
        tell(&format!("Deployment {deployment}: scaled from {} to 0", scaled.replicas));
    }
    wait_for_no_pods(client, deployment, &scaled.selector, deadline, tell).await?;
    wait_for_no_leader(client, &deployment.namespace, deadline, tell).await
}

async fn wait_for_no_pods(
    client: &Client,
    deployment: &NamespacedName,
    selector: &Selector,
    deadline: Instant,
    tell: Tell<'_>,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &deployment.namespace);
    let selected = ListParams::default().labels_from(selector);
    let mut told = String::new();
    loop {
        let attempt = || format!("list Pods in namespace {}", deployment.namespace);
        let pods = api.list(&selected).await;
        let pods = pods.map_err(|source| Error::Read { attempt: attempt(), source })?;
        let left: Vec<_> = pods.items.into_iter().filter_map(name_if_running).collect();
        if left.is_empty() {
            return Ok(());
        }
        let pods = left.join(", ");
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::PodsLeft { deployment: deployment.clone(), pods });
        }
        if told != pods {
            tell(&format!("waiting until these pods have ended: {pods}"));
            told = pods;
        }
        sleep(PAUSE).await;
    }
}

/// A pod that has ended stays for people to look at, and does nothing.
fn name_if_running(pod: Pod) -> Option<String> {
    let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
    let has_ended = phase == "Succeeded" || phase == "Failed";
    if has_ended { None } else { pod.metadata.name }
}

/// Whoever leads without being one of the pods, such as an operator started by hand, would repair
/// what is undone. A leader that was killed has left a Lease that nobody renews.
async fn wait_for_no_leader(
    client: &Client,
    namespace: &str,
    deadline: Instant,
    tell: Tell<'_>,
) -> Result<(), Error> {
    // Read as it is: whatever can be stored must be readable.
    let kind = ApiResource::erase::<Lease>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let lease = NamespacedName::new(namespace, names::LEASE_NAME);
    let mut seen: Option<Observation> = None;
    let mut renewals = 0;
    loop {
        let attempt = || format!("read Lease {lease}");
        let found = api.get_opt(&lease.name).await;
        let found = found.map_err(|source| Error::Read { attempt: attempt(), source })?;
        // Its namespace may be gone, and everybody in it.
        let Some(found) = found else { return Ok(()) };
        let record = Record::from_json(&serde_json::to_value(found).unwrap_or_default());
        match &seen {
            Some(seen) => renewals += u32::from(seen.record() != Some(&record)),
            None if record.is_released() => {}
            None => tell(&format!("waiting until Lease {lease} is released, or has expired")),
        }
        let now = boot_time();
        let found = Observation::after(seen, Some(record), now);
        let holder = match found.view(now, LEASE_DURATION, Role::Candidate) {
            LeaseView::Missing | LeaseView::Lease { is_free: true, .. } => return Ok(()),
            LeaseView::Lease { holder, .. } => holder,
        };
        if renewals >= RENEWALS || Instant::now() + PAUSE >= deadline {
            return Err(Error::Led { holder, lease });
        }
        seen = Some(found);
        sleep(PAUSE).await;
    }
}

/// What stopping the operator of the Deployment `deployment` needs, in its own namespace.
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
    fn only_pods_that_have_ended_are_not_waited_for() {
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(name_if_running(pod(Some(phase))), None, "{phase}");
        }
        for phase in [None, Some("Pending"), Some("Running"), Some("Unknown")] {
            assert_eq!(name_if_running(pod(phase)).as_deref(), Some("a"), "{phase:?}");
        }
    }
}
