//! The documented way to uninstall without the Job, for which no image has to be pulled.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::documented::Shell;
use harness::documented::blocks;
use harness::operator_cluster::OperatorCluster;
use testbed::control_plane::ControlPlane;

use crate::support::uninstall_steps::OTHER_FINALIZER;
use crate::support::uninstall_steps::copies;
use crate::support::uninstall_steps::create_copies_of_each_kind;
use crate::support::uninstall_steps::finalizers;
use crate::support::uninstall_steps::is_deletable;
use crate::support::uninstall_steps::preserved_state;
use crate::support::uninstall_steps::stop_operator;

#[tokio::test]
async fn two_kubectl_commands_replace_the_job() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copies_of_each_kind(&fixture).await?;
    let before = copies(&fixture).await?;
    stop_operator(&mut cluster).await?;

    let control_plane = &cluster.control_plane;
    let shell = Shell::new(control_plane.kubeconfig(), control_plane.folder()).await?;
    let commands = blocks("install.md", "### Uninstall without the Job")?;
    let commands = commands.get(1).context("no second block")?;
    ensure!(commands.lines().count() == 2, "{commands}");
    let output = shell.run(commands).await?;
    for (name, left) in [("made", vec![OTHER_FINALIZER]), ("retained", vec![]), ("adopted", vec![])]
    {
        ensure!(finalizers(&fixture, name).await? == left, "{name}: {output}");
    }
    let after = copies(&fixture).await?;
    for (at, copy) in &before {
        let now = after.get(at).with_context(|| format!("{at} is gone"))?;
        ensure!(!is_deletable(now), "{now:?}: {output}");
        ensure!(preserved_state(now) == preserved_state(copy), "{at}: {now:?}\nwas {copy:?}");
    }
    let again = shell.run(commands).await?;
    ensure!(!again.contains("configmapsync.apps.nishaf.info"), "{again}");
    Ok(())
}

/// Helm alone knows when the Job has to run: applied by kubectl, it would run at once.
#[tokio::test]
async fn the_rendered_chart_contains_no_job_on_request() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let shell = Shell::new(control_plane.kubeconfig(), control_plane.folder()).await?;
    let blocks = blocks("install.md", "## Uninstall")?;
    let render = blocks.iter().find(|block| block.contains("helm template"));
    let render = render.context("no helm template in the section")?.trim_end();
    shell.run("kubectl create namespace configmapsync").await?;
    let applied = shell.run(&format!("{render} | kubectl apply --filename -")).await?;
    ensure!(applied.contains("deployment.apps/configmapsync created"), "{applied}");
    let objects = "kubectl get jobs,serviceaccounts,clusterroles --all-namespaces --output name";
    let objects = shell.run(objects).await?;
    ensure!(!objects.contains("configmapsync-uninstall"), "{objects}");
    Ok(())
}
