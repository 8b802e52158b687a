//! The first installation in a new cluster: the first replica leads at once, and writes the first copy
//! within two seconds from the start of its container.
//!
//! By default once, and within 10 seconds, because the machine may be busy. With `E2E_FULL=1` in 5 new
//! clusters, and within 2 seconds in the median.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use testbed::audit::Mark;
use testbed::helm::RELEASE;
use testbed::pod_process;
use testbed::scale::quick_or_full;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::helm_cluster::HelmCluster;

/// A Lease whose holder is unknown is held for 15 seconds.
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);
/// The deadline for the first copy, far above the bounds.
const WRITTEN: Duration = Duration::from_mins(1);

/// An installation.
struct Times {
    /// From the start of Helm to that of the first container.
    containers: Duration,
    /// From there to the response to the creation of the first copy.
    copy: Duration,
}

/// Installs the operator in new clusters.
pub async fn install_in_new_clusters() -> Result<()> {
    let (count, longest) = quick_or_full((1, BEFORE_EXPIRY), (5, Duration::from_secs(2)));
    let mut copies = Vec::new();
    for _ in 0..count {
        let Times { containers, copy } = install().await?;
        eprintln!(
            "{:.2} s from Helm to the first container, {:.2} s from there to the first copy",
            containers.as_secs_f32(),
            copy.as_secs_f32()
        );
        copies.push(copy);
    }
    copies.sort();
    let median = copies[copies.len() / 2];
    println!("{count} installations: {median:.2?} from the first container to the first copy");
    ensure!(median <= longest, "{median:?} in the median: {copies:?}");
    Ok(())
}

/// Installs the chart where a source, a ConfigMapSync and nothing of an operator exists.
async fn install() -> Result<Times> {
    let cluster = HelmCluster::start().await?;
    let shell = cluster.shell().await?;
    shell.run("kubectl apply --kustomize deploy/crds").await?;
    cluster.create_syncs(1).await?;
    let mark = cluster.audit().mark().await?;
    let began = Timestamp::now();
    cluster.install(&[("replicaCount", "3"), ("crds.install", "false")]).await?;
    let created = first_creation(&cluster, mark).await?;
    let started = first_start(&cluster).await?;
    let between = |from: Timestamp, to: Timestamp| {
        let passed = to.duration_since(from);
        Duration::try_from(passed).with_context(|| format!("{passed:?} passed"))
    };
    Ok(Times { containers: between(began, started)?, copy: between(started, created)? })
}

/// When the API server answered the first creation of a copy.
async fn first_creation(cluster: &HelmCluster, mark: Mark) -> Result<Timestamp> {
    until("the first copy is written", WRITTEN, || async {
        let events = cluster.audit().since(mark).await?;
        let mut writes = writes_by_operator(&events).into_iter();
        let created = writes.find(|it| it.resource() == "configmaps" && it.succeeded());
        let at = created.map(|it| it.stage_timestamp.0);
        Ok(Seen::from_option(at, || format!("{} requests", events.len())))
    })
    .await
}

/// When the process of the first container started.
async fn first_start(cluster: &HelmCluster) -> Result<Timestamp> {
    let pods = Api::<Pod>::namespaced(cluster.fixture().client(), RELEASE);
    let mut first = None;
    for pod in pods.list(&ListParams::default()).await? {
        let uid = pod.metadata.uid.context("a pod without uid")?;
        let age = pod_process::age("configmapsync", ("POD_UID", &uid))?;
        let started = Timestamp::now() - SignedDuration::try_from(age)?;
        first = Some(first.map_or(started, |first: Timestamp| first.min(started)));
    }
    first.context("no pod")
}
