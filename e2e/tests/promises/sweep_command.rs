//! Promise: suspiciously many orphans wait for a person, who sees them and sweeps them.

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
use crate::support::orphan_collection::impatient;

/// One more than ten, and one more.
const ORPHANS: usize = 12;

async fn restore(fixture: &Fixture, count: usize) -> Result<()> {
    fixture.create_namespaces(&["app"]).await?;
    for number in 0..count {
        let name = format!("copy-{number}");
        fixture.restore_copy("app", &name, "central/lost", "lost").await?;
    }
    Ok(())
}

async fn left(fixture: &Fixture, count: usize) -> Result<usize> {
    let mut left = 0;
    for number in 0..count {
        let found = fixture.config_map("app", &format!("copy-{number}")).await?;
        left += usize::from(found.is_some());
    }
    Ok(left)
}

async fn wait_held(world: &OperatorCluster, count: f64) -> Result<()> {
    until(format!("{count} orphans are held"), SOON, || async {
        let metrics = Metrics::of(&world.replicas[0]).await?;
        let held = metrics.value("configmapsync_sweep_held", &[])?;
        Ok(Seen::from_bool((held - count).abs() < 0.5, || format!("{held}")))
    })
    .await
}

/// The Events that tell people so.
async fn held_events(fixture: &Fixture) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(fixture.client(), OPERATOR);
    let events = events.list(&ListParams::default()).await?;
    let is_held = |event: &Event| event.reason.as_deref() == Some("SweepHeld");
    Ok(events.items.into_iter().filter(is_held).collect())
}

#[tokio::test]
async fn too_many_are_held_and_told_until_a_person_sweeps_them() -> Result<()> {
    let mut options = impatient("5s");
    options.arguments.extend(Options::patient().arguments);
    let world = OperatorCluster::start_with(1, options).await?;
    let fixture = world.fixture();
    let replica = world.replicas[0].process();
    // The first ones must not be due, and swept, before there are too many.
    replica.freeze()?;
    restore(&fixture, ORPHANS).await?;
    replica.thaw()?;
    wait_held(&world, 12.0).await?;
    let event = until("an Event tells so", SOON, || async {
        let events = held_events(&fixture).await?;
        Ok(Seen::from_option(events.into_iter().next(), || "none".to_owned()))
    })
    .await?;
    let regarding = event.regarding.context("an Event about nothing")?;
    let pod = Some(world.replicas[0].pod().name.clone());
    ensure!(regarding.kind.as_deref() == Some("Pod") && regarding.name == pod, "{regarding:?}");
    ensure!(event.note.is_some_and(|note| note.contains("configmapsync sweep")));

    let mark = world.audit().mark().await?;
    let what = "nothing is deleted, and nothing is told twice";
    stays(what, Duration::from_secs(5), || async {
        let (left, told) = (left(&fixture, ORPHANS).await?, held_events(&fixture).await?.len());
        Ok(Seen::from_bool(left == ORPHANS && told == 1, || format!("{left} left, {told} told")))
    })
    .await?;
    let events = world.audit().since(mark).await?;
    let asked = requests_by_operator(&events).filter(|event| event.verb != "watch");
    let asked: Vec<_> = asked.filter(|event| !is_about_leadership(event)).collect();
    ensure!(asked.is_empty(), "what is held costs nothing: {asked:?}");

    let kubeconfig = world.control_plane.kubeconfig();
    let shown = configmapsync(kubeconfig, &["sweep"]).await?;
    ensure!(shown.code == 2 && shown.stderr.contains("--yes"), "{shown:?}");
    let rows = shown.stdout.lines().filter(|line| line.contains("central/lost"));
    ensure!(rows.filter(|row| row.contains("delete")).count() == ORPHANS, "{shown:?}");
    ensure!(left(&fixture, ORPHANS).await? == ORPHANS, "it was only asked");

    // It would sweep along as soon as there are no longer too many.
    replica.freeze()?;
    let swept = configmapsync(kubeconfig, &["sweep", "--yes"]).await?;
    replica.thaw()?;
    ensure!(swept.code == 0, "{swept:?}");
    ensure!(left(&fixture, ORPHANS).await? == 0, "{swept:?}");
    wait_held(&world, 0.0).await?;
    let nothing = configmapsync(kubeconfig, &["sweep"]).await?;
    ensure!(nothing.code == 0 && nothing.stdout.contains("no orphans"), "{nothing:?}");
    Ok(())
}

#[tokio::test]
async fn a_person_is_asked_and_obeyed() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    restore(&fixture, 1).await?;
    let kubeconfig = world.control_plane.kubeconfig();
    let no = configmapsync_with_input(kubeconfig, &["sweep"], "n").await?;
    ensure!(no.code == 1 && no.stdout.contains("Nothing was done"), "{no:?}");
    ensure!(left(&fixture, 1).await? == 1, "declined");
    let yes = configmapsync_with_input(kubeconfig, &["sweep"], "y").await?;
    ensure!(yes.code == 0 && yes.stdout.contains("app/copy-0: deleted"), "{yes:?}");
    ensure!(left(&fixture, 1).await? == 0, "{yes:?}");
    Ok(())
}

#[tokio::test]
async fn who_may_not_look_is_told_what_is_missing() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let cluster = &world.control_plane;
    let nobody = cluster.authority().issue_client("nobody", "nobody", &[])?;
    let text = cluster.kubeconfig_for(&Credential::Certificate(nobody))?;
    let kubeconfig = cluster.folder().join("nobody.kubeconfig");
    fs::write(&kubeconfig, text)?;
    let refused = configmapsync(&kubeconfig, &["sweep", "--yes"]).await?;
    ensure!(refused.code == 1, "{refused:?}");
    ensure!(refused.stderr.contains("customresourcedefinitions"), "{refused:?}");
    let lost = configmapsync(&kubeconfig.with_extension("lost"), &["sweep"]).await?;
    ensure!(lost.code == 1 && lost.stderr.contains("correct the file"), "{lost:?}");
    Ok(())
}
