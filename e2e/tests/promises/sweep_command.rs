//! If there are suspiciously many orphans, none is collected until a user runs
//! `configmapsync sweep`, which lists and deletes them.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::is_about_leadership;
use harness::audit_queries::requests_by_operator;
use harness::cli::configmapsync;
use harness::cli::configmapsync_with_input;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use testbed::accounts::OPERATOR;
use testbed::kubeconfig::Credential;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::metrics_page::Metrics;
use crate::support::orphan_collection::fast_collection;

/// More than the ten orphans that are collected without a user.
const ORPHANS: usize = 12;

/// Creates orphans in the namespace `app`.
async fn create_orphans(fixture: &Fixture, count: usize) -> Result<()> {
    fixture.create_namespaces(&["app"]).await?;
    for number in 0..count {
        let name = format!("copy-{number}");
        fixture.restore_copy("app", &name, "central/lost", "lost").await?;
    }
    Ok(())
}

/// How many of the orphans still exist.
async fn remaining(fixture: &Fixture, count: usize) -> Result<usize> {
    let mut remaining = 0;
    for number in 0..count {
        let found = fixture.config_map("app", &format!("copy-{number}")).await?;
        remaining += usize::from(found.is_some());
    }
    Ok(remaining)
}

async fn wait_held(cluster: &OperatorCluster, count: f64) -> Result<()> {
    until(format!("the metric configmapsync_sweep_held is {count}"), SOON, || async {
        let metrics = Metrics::of(&cluster.replicas[0]).await?;
        let held = metrics.value("configmapsync_sweep_held", &[])?;
        Ok(Seen::from_bool((held - count).abs() < 0.5, || format!("{held}")))
    })
    .await
}

/// The Events that report held orphans.
async fn held_events(fixture: &Fixture) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(fixture.client(), OPERATOR);
    let events = events.list(&ListParams::default()).await?;
    let is_held = |event: &Event| event.reason.as_deref() == Some("SweepHeld");
    Ok(events.items.into_iter().filter(is_held).collect())
}

#[tokio::test]
async fn too_many_orphans_are_held_until_a_user_sweeps_them() -> Result<()> {
    let mut options = fast_collection("5s");
    options.arguments.extend(Options::patient().arguments);
    let cluster = OperatorCluster::start_with(1, options).await?;
    let fixture = cluster.fixture();
    let replica = cluster.replicas[0].process();
    // The first ones must not be collected before there are too many.
    replica.freeze()?;
    create_orphans(&fixture, ORPHANS).await?;
    replica.thaw()?;
    wait_held(&cluster, 12.0).await?;
    let event = until("an Event reports the held orphans", SOON, || async {
        let events = held_events(&fixture).await?;
        Ok(Seen::from_option(events.into_iter().next(), || "none".to_owned()))
    })
    .await?;
    let regarding = event.regarding.context("the Event regards no object")?;
    let pod = Some(cluster.replicas[0].pod().name.clone());
    ensure!(regarding.kind.as_deref() == Some("Pod") && regarding.name == pod, "{regarding:?}");
    ensure!(event.note.is_some_and(|note| note.contains("configmapsync sweep")));

    let mark = cluster.audit().mark().await?;
    let what = "all orphans exist and one Event reports them";
    stays(what, Duration::from_secs(5), || async {
        let remaining = remaining(&fixture, ORPHANS).await?;
        let reported = held_events(&fixture).await?.len();
        Ok(Seen::from_bool(remaining == ORPHANS && reported == 1, || {
            format!("{remaining} orphans, {reported} Events")
        }))
    })
    .await?;
    let events = cluster.audit().since(mark).await?;
    let requests = requests_by_operator(&events).filter(|event| event.verb != "watch");
    let requests: Vec<_> = requests.filter(|event| !is_about_leadership(event)).collect();
    ensure!(requests.is_empty(), "held orphans cost requests: {requests:?}");

    let kubeconfig = cluster.control_plane.kubeconfig();
    let listed = configmapsync(kubeconfig, &["sweep"]).await?;
    ensure!(listed.code == 2 && listed.stderr.contains("--yes"), "{listed:?}");
    let rows = listed.stdout.lines().filter(|line| line.contains("central/lost"));
    ensure!(rows.filter(|row| row.contains("delete")).count() == ORPHANS, "{listed:?}");
    ensure!(remaining(&fixture, ORPHANS).await? == ORPHANS, "orphans were deleted without --yes");

    // The operator would collect, too, as soon as there are no longer too many.
    replica.freeze()?;
    let swept = configmapsync(kubeconfig, &["sweep", "--yes"]).await?;
    replica.thaw()?;
    ensure!(swept.code == 0, "{swept:?}");
    ensure!(remaining(&fixture, ORPHANS).await? == 0, "{swept:?}");
    wait_held(&cluster, 0.0).await?;
    let empty = configmapsync(kubeconfig, &["sweep"]).await?;
    ensure!(empty.code == 0 && empty.stdout.contains("no orphans"), "{empty:?}");
    Ok(())
}

#[tokio::test]
async fn sweep_asks_for_confirmation() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_orphans(&fixture, 1).await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let no = configmapsync_with_input(kubeconfig, &["sweep"], "n").await?;
    ensure!(no.code == 1 && no.stdout.contains("Nothing was done"), "{no:?}");
    ensure!(remaining(&fixture, 1).await? == 1, "an orphan was deleted after the answer n");
    let yes = configmapsync_with_input(kubeconfig, &["sweep"], "y").await?;
    ensure!(yes.code == 0 && yes.stdout.contains("app/copy-0: deleted"), "{yes:?}");
    ensure!(remaining(&fixture, 1).await? == 0, "{yes:?}");
    Ok(())
}

#[tokio::test]
async fn sweep_reports_missing_permissions() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let control_plane = &cluster.control_plane;
    let guest = control_plane.authority().issue_client("guest", "guest", &[])?;
    let text = control_plane.kubeconfig_for(&Credential::Certificate(guest))?;
    let kubeconfig = control_plane.folder().join("guest.kubeconfig");
    fs::write(&kubeconfig, text)?;
    let refused = configmapsync(&kubeconfig, &["sweep", "--yes"]).await?;
    ensure!(refused.code == 1, "{refused:?}");
    ensure!(refused.stderr.contains("customresourcedefinitions"), "{refused:?}");
    let no_file = configmapsync(&kubeconfig.with_extension("missing"), &["sweep"]).await?;
    ensure!(no_file.code == 1 && no_file.stderr.contains("correct the file"), "{no_file:?}");
    Ok(())
}
