//! A cluster that is not as it should be: not ready, patient, and going on once it is mended.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::PostParams;
use testbed::accounts::OPERATOR;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::startup::MENDED;
use crate::support::startup::never_panicked;
use crate::support::startup::stays_patient;
use crate::support::startup::wait_complaint;

async fn start(world: &OperatorCluster) -> Result<Replica> {
    Replica::start(&world.control_plane, OPERATOR, &Options::default()).await
}

async fn source(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    Ok(())
}

async fn ask_for_a_copy(fixture: &Fixture) -> Result<()> {
    let spec = one_to_one("central", "shared", "app");
    fixture.create_sync("central", "sync", spec).await?;
    Ok(())
}

/// It is ready by itself, and copies.
async fn goes_on(replica: &Replica, fixture: &Fixture) -> Result<()> {
    replica.wait_ready().await?;
    fixture.wait_reason("central", "sync", "Synced", MENDED).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    never_panicked(replica)
}

/// Takes `verb` on `ConfigMap`s from the operator, or gives it back, once the API server knows.
async fn may(world: &OperatorCluster, verb: &str, granted: bool) -> Result<()> {
    let api: Api<ClusterRole> = Api::all(world.control_plane.client());
    let mut granting = api.get(OPERATOR).await.context("reading the ClusterRole")?;
    let rules = granting.rules.as_mut().context("a ClusterRole without rules")?;
    let rule = rules.iter_mut().find(|rule| {
        rule.resources.as_ref().is_some_and(|them| them.iter().any(|it| it == "configmaps"))
    });
    let verbs = &mut rule.context("no rule for ConfigMaps")?.verbs;
    let before = verbs.len();
    verbs.retain(|it| it != verb);
    ensure!(granted != (verbs.len() < before), "{verb} is granted already, or not at all");
    if granted {
        verbs.push(verb.to_owned());
    }
    api.replace(OPERATOR, &PostParams::default(), &granting).await.context("changing it")?;
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_waited_for() -> Result<()> {
    let mut world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    source(&fixture).await?;
    ask_for_a_copy(&fixture).await?;
    // Once, to get a pod and its token; the process then starts anew, without an API server.
    let mut replica = start(&world).await?;
    replica.process().kill()?;
    world.control_plane.api_server().kill()?;
    replica.restart()?;

    wait_complaint(
        &replica,
        &["cannot acquire or renew Lease", "Connection refused", "retrying every"],
    )
    .await?;
    stays_patient(&replica).await?;

    world.control_plane.restart_api_server().await?;
    goes_on(&replica, &fixture).await
}

#[tokio::test]
async fn a_missing_custom_resource_definition_is_asked_for() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    source(&fixture).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client());
    let name = "configmapsyncs.apps.nishaf.info";
    definitions.delete(name, &DeleteParams::default()).await.context("deleting the CRD")?;
    until("the CRD is gone", SOON, || async {
        let found = definitions.get_opt(name).await?;
        let status = found.as_ref().map(|found| &found.status);
        Ok(Seen::from_bool(found.is_none(), || format!("{status:?}")))
    })
    .await?;

    let replica = start(&world).await?;
    wait_complaint(&replica, &["ConfigMapSync", "apply its CustomResourceDefinition"]).await?;
    stays_patient(&replica).await?;

    let file = manifest("crds/configmapsyncs.yaml");
    world.control_plane.apply_file(&file).await?;
    until("a ConfigMapSync can be created", SOON, || async {
        let created = ask_for_a_copy(&fixture).await;
        Ok(match created {
            Ok(()) => Seen::Done(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .await?;
    goes_on(&replica, &fixture).await
}

#[tokio::test]
async fn a_verb_without_which_nothing_is_seen_is_asked_for() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    source(&fixture).await?;
    ask_for_a_copy(&fixture).await?;
    may(&world, "list", false).await?;

    let replica = start(&world).await?;
    let words = ["cannot list resource", "configmaps", "grant this permission"];
    wait_complaint(&replica, &words).await?;
    stays_patient(&replica).await?;

    may(&world, "list", true).await?;
    goes_on(&replica, &fixture).await
}

#[tokio::test]
async fn a_verb_without_which_nothing_is_copied_is_asked_for() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    source(&fixture).await?;
    may(&world, "create", false).await?;
    let replica = start(&world).await?;
    replica.wait_ready().await?;

    ask_for_a_copy(&fixture).await?;
    let sync = fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    let conditions = sync.status.unwrap_or_default().conditions;
    let told = conditions.iter().any(|it| {
        let words = ["cannot create resource", "configmaps", "app"];
        it.type_ == "Ready"
            && it.status == "False"
            && words.iter().all(|word| it.message.contains(word))
    });
    ensure!(told, "the verb is named: {conditions:?}");
    never_panicked(&replica)?;

    may(&world, "create", true).await?;
    goes_on(&replica, &fixture).await
}
