//! The operator's pods, and which of them leads.

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

/// The label by which Kubernetes holds a namespace to a Pod Security level.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
pub const REPLICAS: usize = 3;

/// Long enough to pull an image from a registry.
const START: Duration = Duration::from_mins(2);
/// Once may happen to anybody: the API server may be slow to answer.
const RESTARTS: i32 = 2;
const FAILOVER: Duration = Duration::from_secs(30);

/// Makes the operator's namespace, as strict as Kubernetes knows.
pub async fn create_namespace(client: &Client) -> Result<()> {
    let namespace = serde_json::from_value(json!({
        "metadata": {"name": RELEASE, "labels": {POD_SECURITY: "restricted"}},
    }))?;
    let namespaces = Api::<Namespace>::all(client.clone());
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.with_context(|| format!("creating the namespace {RELEASE}"))?;
    Ok(())
}

/// The operator's pods that are not about to go.
pub async fn pods(client: &Client) -> Result<Vec<Pod>> {
    let selector = ListParams::default().labels("app.kubernetes.io/name=configmapsync");
    let pods = Api::<Pod>::namespaced(client.clone(), RELEASE).list(&selector).await;
    let pods = pods.context("listing the operator's pods")?.items;
    Ok(pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
}

/// Waits until all replicas are ready.
pub async fn wait_ready(client: &Client) -> Result<()> {
    until(format!("{REPLICAS} pods of the operator are ready"), START, || async {
        let pods = pods(client).await?;
        if let Some(message) = pods.iter().find_map(image_missing) {
            bail!("the node cannot get the operator's image: {message}");
        }
        if let Some(pod) = pods.iter().find(|pod| restarts(pod) >= RESTARTS) {
            bail!("the operator ended {RESTARTS} times in the pod {}", pod.name_any());
        }
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(Seen::from_bool(ready == REPLICAS && pods.len() == REPLICAS, || {
            format!("{ready} of {} are", pods.len())
        }))
    })
    .await
}

/// The pods that hold a Lease in the operator's namespace: a holder names the uid of its pod.
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

/// Waits until exactly one pod leads, and it is not the one called `not`; returns its name.
pub async fn wait_leader(client: &Client, not: Option<&str>) -> Result<String> {
    until("exactly one pod holds the Lease", FAILOVER, || async {
        let names: Vec<_> = leaders(client).await?.iter().map(ResourceExt::name_any).collect();
        Ok(match names.as_slice() {
            [name] if Some(name.as_str()) != not => Seen::Done(name.clone()),
            names => Seen::NotYet(format!("held by {names:?}")),
        })
    })
    .await
}

/// Deletes a pod, as a drained node or a rollout would.
pub async fn delete(client: &Client, name: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), RELEASE);
    let deleted = pods.delete(name, &DeleteParams::default()).await;
    deleted.with_context(|| format!("deleting the pod {name}"))?;
    Ok(())
}

/// How often its containers have ended.
pub fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().filter_map(|status| status.container_statuses.as_deref());
    containers.flatten().map(|container| container.restart_count).sum()
}

/// What Kubernetes says about an image that it tried in vain to get, more than once.
fn image_missing(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    let waiting = |container: &ContainerStatus| container.state.clone()?.waiting;
    containers.iter().filter_map(waiting).find_map(|waiting| {
        let reason = waiting.reason?;
        let gone = ["ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"];
        gone.contains(&reason.as_str()).then(|| waiting.message.unwrap_or(reason))
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
