//! The operator's pods and their leader.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ContainerStatus;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::helm::RELEASE;
use testbed::wait::Seen;
use testbed::wait::until;

/// The namespace label that enforces a Pod Security level.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// The number of replicas that the demo installs.
pub const REPLICAS: usize = 3;

/// The time limit for all pods to be ready, which includes pulling the image.
const START: Duration = Duration::from_mins(2);
/// The number of container restarts at which the demo fails. One can be caused by a slow API server.
const RESTARTS: i32 = 2;
/// The time limit for a new leader.
const FAILOVER: Duration = Duration::from_secs(30);

/// Creates the operator's namespace with the Pod Security level `restricted`.
pub async fn create_namespace(client: &Client) -> Result<()> {
    let namespace = serde_json::from_value(json!({
        "metadata": {"name": RELEASE, "labels": {POD_SECURITY: "restricted"}},
    }))?;
    let namespaces = Api::<Namespace>::all(client.clone());
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.with_context(|| format!("creating the namespace {RELEASE}"))?;
    Ok(())
}

/// The operator's pods, without those that are being deleted.
pub async fn pods(client: &Client) -> Result<Vec<Pod>> {
    let selector = ListParams::default().labels("app.kubernetes.io/name=configmapsync");
    let pods = Api::<Pod>::namespaced(client.clone(), RELEASE).list(&selector).await;
    let pods = pods.context("listing the operator's pods")?.items;
    Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
}

/// Waits until all replicas are ready.
pub async fn wait_ready(client: &Client) -> Result<()> {
    until(format!("{REPLICAS} ready operator pods"), START, || async {
        let pods = pods(client).await?;
        if let Some(message) = pods.iter().find_map(image_missing) {
            bail!("pulling the operator's image failed: {message}");
        }
        if let Some(pod) = pods.iter().find(|pod| restarts(pod) >= RESTARTS) {
            bail!("the operator in pod {} has restarted {RESTARTS} times", pod.name_any());
        }
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Seen::from_bool(ready == REPLICAS && pods.len() == REPLICAS, || {
            format!("{ready} of {} pods are ready", pods.len())
        }))
    })
    .await
}

/// The pods that hold a Lease in the operator's namespace. The holder identity contains the pod's uid.
pub async fn leaders(client: &Client) -> Result<Vec<Pod>> {
    let leases = Api::<Lease>::namespaced(client.clone(), RELEASE);
    let leases = leases.list(&ListParams::default()).await.context("listing the Leases")?;
    let holders: Vec<_> = leases
        .into_iter()
        .filter_map(|lease| lease.spec?.holder_identity)
        .filter(|holder| !holder.is_empty())
        .collect();
    let holds =
        |pod: &Pod| pod.uid().is_some_and(|uid| holders.iter().any(|holder| holder.contains(&uid)));
    Ok(pods(client).await?.into_iter().filter(holds).collect())
}

/// Waits until exactly one pod, other than `not`, holds the Lease. Returns its name.
pub async fn wait_leader(client: &Client, not: Option<&str>) -> Result<String> {
    until("exactly one pod to hold the Lease", FAILOVER, || async {
        let names: Vec<_> = leaders(client).await?.iter().map(ResourceExt::name_any).collect();
        Ok(match names.as_slice() {
            [name] if Some(name.as_str()) != not => Seen::Done(name.clone()),
            names => Seen::NotYet(format!("held by {names:?}")),
        })
    })
    .await
}

/// Deletes a pod with its grace period, like a node drain.
pub async fn delete(client: &Client, name: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), RELEASE);
    let deleted = pods.delete(name, &DeleteParams::default()).await;
    deleted.with_context(|| format!("deleting the pod {name}"))?;
    Ok(())
}

/// The number of container restarts.
pub fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().filter_map(|status| status.container_statuses.as_deref());
    containers.flatten().map(|container| container.restart_count).sum()
}

/// The message of the kubelet if pulling the image has failed repeatedly.
fn image_missing(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    let waiting = |container: &ContainerStatus| container.state.clone()?.waiting;
    containers.iter().filter_map(waiting).find_map(|waiting| {
        let reason = waiting.reason?;
        let failures = ["ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"];
        failures.contains(&reason.as_str()).then(|| waiting.message.unwrap_or(reason))
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
