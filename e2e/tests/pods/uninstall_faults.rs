//! `helm uninstall` with faults, by each version of Helm: it ends, its output names what is left, and the
//! documented commands finish it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::busy_tenant::BusyTenant;
use harness::documented::blocks;
use harness::fixture::SOON;
use testbed::helm::Version;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::time::timeout;

use crate::helm_cluster;
use crate::helm_cluster::HelmCluster;

/// `helm uninstall` ends within this time. By default, Helm waits five minutes for a Job.
const END: Duration = Duration::from_mins(3);
/// An image that cannot be pulled, and half a minute for the Job.
const MISSING_IMAGE: [(&str, &str); 2] =
    [("image.repository", "registry.test/missing"), ("uninstall.timeoutSeconds", "1")];

/// Runs each fault with each version of Helm. The ConfigMapSyncs from 1 to `end` exist.
pub async fn each_helm_survives_each_fault(cluster: &mut HelmCluster, end: usize) -> Result<()> {
    for version in Version::ALL {
        cluster.use_helm(version)?;
        let start = Instant::now();
        let faults = async {
            install(cluster, end).await?;
            refused_and_busy_copies(cluster, end).await.context("refused and busy copies")?;
            install(cluster, end).await?;
            missing_image(cluster, version).await.context("missing image")?;
            cluster.delete_namespace().await
        };
        faults.await.with_context(|| format!("{version:?}"))?;
        println!("{version:?}: all faults in {:.0?}", start.elapsed());
    }
    Ok(())
}

async fn install(cluster: &HelmCluster, end: usize) -> Result<()> {
    cluster.install(&[]).await?;
    cluster.wait_synced(end - 1).await
}

/// `helm uninstall`, with its error if it fails.
async fn uninstall(cluster: &HelmCluster) -> Result<Result<()>> {
    timeout(END, cluster.helm.uninstall()).await.context("`helm uninstall` does not end")
}

/// One copy is refused by a policy. Two others and a ConfigMapSync are written 50 times a second.
async fn refused_and_busy_copies(cluster: &HelmCluster, end: usize) -> Result<()> {
    let before = cluster.data().await?;
    let client = cluster.control_plane().client();
    let busy = || BusyTenant::touching(&client, &["copy-2", "copy-3"], &["sync-2"]);
    let tenant = busy().await?;
    cluster.deny_updates("copy-1").await?;
    let error = uninstall(cluster).await?.err().context("the hook did not fail")?;
    let error = format!("{error:#}");
    let log = cluster.log_of_failed_hook().await?;
    let command = "kubectl --namespace app annotate configmap copy-1";
    for words in ["1 ConfigMaps", "Nothing is lost", command] {
        ensure!(log.contains(words), "{words:?} is not in the log of the hook: {log}");
        ensure!(error.contains(words), "{words:?} is not in the output of Helm: {error}");
    }
    ensure!(cluster.is_installed().await?, "an object of the release was removed");
    cluster.remove_deny_policy().await?;
    let listed: Vec<_> =
        log.lines().map(str::trim).filter(|line| line.starts_with("kubectl ")).collect();
    ensure!(listed.len() == 1, "{log}");
    let shell = cluster.shell().await?;
    until("the listed command succeeds", SOON, || async {
        let ended = shell.try_run(&listed.join("\n")).await?;
        Ok(Seen::from_bool(ended.is_success, || ended.output))
    })
    .await?;
    ensure_released(cluster).await?;
    // The other documented way: start the operator again. A busy copy would be `Contended`.
    drop(tenant);
    cluster.helm.go_back().await?;
    cluster.wait_ready().await?;
    cluster.wait_synced(end - 1).await?;

    let tenant = busy().await?;
    let written = tenant.written();
    uninstall(cluster).await??;
    ensure!(tenant.written() > written, "the tenant was not busy");
    drop(tenant);
    ensure_released(cluster).await?;
    ensure!(cluster.data().await? == before, "data has changed");
    cluster.ensure_nothing_remains().await
}

/// The image of the operator and of the Job cannot be pulled.
async fn missing_image(cluster: &HelmCluster, version: Version) -> Result<()> {
    let before = cluster.data().await?;
    cluster.upgrade(&MISSING_IMAGE).await?;
    let error = uninstall(cluster).await?.err().context("the hook did not fail")?;
    let error = format!("{error:#}");
    let words = match version {
        Version::V3 => "DeadlineExceeded",
        Version::V4 => "Job Failed",
    };
    ensure!(error.contains(words), "{words:?} is not in the output of Helm: {error}");
    ensure!(cluster.is_installed().await?, "an object of the release was removed");
    let shell = cluster.shell().await?;
    let events = shell.run("kubectl --namespace configmapsync get events").await?;
    for words in ["DeadlineExceeded", "registry.test/missing"] {
        ensure!(events.contains(words), "{words:?} is in no Event: {events}");
    }
    for block in blocks("install.md", "### Uninstall without the Job")? {
        shell.run(&block).await?;
    }
    ensure_released(cluster).await?;
    ensure!(cluster.data().await? == before, "data has changed");
    cluster.ensure_nothing_remains().await
}

/// Fails if a ConfigMapSync has the operator's finalizer, or a copy asks for its deletion.
async fn ensure_released(cluster: &HelmCluster) -> Result<()> {
    let copies = cluster.copies().await?;
    let deletable: Vec<_> =
        copies.iter().filter(|(_, copy)| helm_cluster::is_deletable(copy)).collect();
    ensure!(deletable.is_empty(), "{deletable:?}");
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync still has the finalizer");
    Ok(())
}
