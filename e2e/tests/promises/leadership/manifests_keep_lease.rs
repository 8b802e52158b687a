//! A second installation over the present one does not touch the Lease while a replica holds it.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::documented::Shell;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use testbed::accounts::OPERATOR;
use testbed::control_plane::ControlPlane;
use testbed::helm::Version;

use crate::leadership::support::leases;

/// The plain manifests, as `docs/install.md` applies them.
const APPLY: &str = "kubectl apply --kustomize deploy/crds
    kubectl apply --kustomize deploy";
const HELM: &str = "helm upgrade --install configmapsync chart --namespace configmapsync \
    --create-namespace";

/// uid and holder of the Lease.
async fn lease(cluster: &OperatorCluster) -> Result<(String, String)> {
    let lease = leases(&cluster.fixture()).get(OPERATOR).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    Ok((lease.metadata.uid.context("no uid")?, holder.context("no holder")?))
}

/// Installs with `script`, starts a replica that leads, and runs each of `again`.
async fn installed_again(version: Version, script: &str, again: &[&str]) -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let files = (control_plane.kubeconfig(), control_plane.folder());
    let shell = Shell::with_helm(version, files.0, files.1).await?;
    shell.run(script).await?;
    let cluster = OperatorCluster::start_in(control_plane, 1, Options::default()).await?;
    let before = lease(&cluster).await?;
    for script in again {
        shell.run(script).await?;
        let after = lease(&cluster).await?;
        ensure!(after == before, "{script}: {before:?} became {after:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_kubectl_apply_keeps_a_held_lease() -> Result<()> {
    installed_again(Version::V3, APPLY, &[APPLY]).await
}

#[tokio::test]
async fn a_forced_helm_upgrade_keeps_a_held_lease() -> Result<()> {
    let forced = format!("{HELM} --force");
    installed_again(Version::V3, HELM, &[HELM, &forced]).await
}

#[tokio::test]
async fn a_forced_upgrade_by_helm_4_keeps_a_held_lease() -> Result<()> {
    let forced = format!("{HELM} --force-conflicts");
    installed_again(Version::V4, HELM, &[HELM, &forced]).await
}
