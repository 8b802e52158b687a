//! Faults of the cluster at startup: the operator is not ready, reports the fault once, and
//! recovers when it is repaired.

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

use crate::support::startup::RECOVERED;
use crate::support::startup::ensure_not_panicked;
use crate::support::startup::stays_unready;
use crate::support::startup::wait_warning;

async fn start_replica(cluster: &OperatorCluster) -> Result<Replica> {
    Replica::start(&cluster.control_plane, OPERATOR, &Options::default()).await
}

async fn create_source(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    Ok(())
}

async fn create_sync(fixture: &Fixture) -> Result<()> {
    let spec = one_to_one("central", "shared", "app");
    fixture.create_sync("central", "sync", spec).await?;
    Ok(())
}

/// Waits until the operator is ready and has copied.
async fn wait_recovered(replica: &Replica, fixture: &Fixture) -> Result<()> {
    replica.wait_ready().await?;
    fixture.wait_reason("central", "sync", "Synced", RECOVERED).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    ensure_not_panicked(replica)
}

/// Grants `verb` on ConfigMaps to the operator, or revokes it. Fails if that changes nothing.
async fn set_granted(cluster: &OperatorCluster, verb: &str, granted: bool) -> Result<()> {
    let api: Api<ClusterRole> = Api::all(cluster.control_plane.client());
    let mut cluster_role = api.get(OPERATOR).await.context("reading the ClusterRole")?;
    let rules = cluster_role.rules.as_mut().context("the ClusterRole has no rules")?;
    let rule = rules.iter_mut().find(|rule| {
        rule.resources.as_ref().is_some_and(|all| all.iter().any(|it| it == "configmaps"))
    });
    let verbs = &mut rule.context("no rule for ConfigMaps")?.verbs;
    let before = verbs.len();
    verbs.retain(|it| it != verb);
    ensure!(
        granted != (verbs.len() < before),
        "the verb {verb} was {} before",
        if granted { "granted" } else { "not granted" }
    );
    if granted {
        verbs.push(verb.to_owned());
    }
    api.replace(OPERATOR, &PostParams::default(), &cluster_role)
        .await
        .context("replacing the ClusterRole")?;
    Ok(())
}

#[tokio::test]
async fn an_unreachable_api_server_is_retried() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_source(&fixture).await?;
    create_sync(&fixture).await?;
    // The first start creates the pod and its token; the second one has no API server.
    let mut replica = start_replica(&cluster).await?;
    replica.process().kill()?;
    cluster.control_plane.api_server().kill()?;
    replica.restart()?;

    wait_warning(
        &replica,
        &["cannot acquire or renew Lease", "Connection refused", "retrying every"],
    )
    .await?;
    stays_unready(&replica).await?;

    cluster.control_plane.restart_api_server().await?;
    wait_recovered(&replica, &fixture).await
}

#[tokio::test]
async fn a_missing_crd_is_reported_and_retried() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_source(&fixture).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client());
    let name = "configmapsyncs.apps.nishaf.info";
    definitions.delete(name, &DeleteParams::default()).await.context("deleting the CRD")?;
    until("the CustomResourceDefinition is gone", SOON, || async {
        let found = definitions.get_opt(name).await?;
        let status = found.as_ref().map(|found| &found.status);
        Ok(Seen::from_bool(found.is_none(), || format!("{status:?}")))
    })
    .await?;

    let replica = start_replica(&cluster).await?;
    wait_warning(&replica, &["ConfigMapSync", "apply its CustomResourceDefinition"]).await?;
    stays_unready(&replica).await?;

    let file = manifest("crds/configmapsyncs.yaml");
    cluster.control_plane.apply_file(&file).await?;
    until("a ConfigMapSync can be created", SOON, || async {
        let created = create_sync(&fixture).await;
        Ok(match created {
            Ok(()) => Seen::Done(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .await?;
    wait_recovered(&replica, &fixture).await
}

#[tokio::test]
async fn a_missing_list_permission_is_reported_and_retried() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_source(&fixture).await?;
    create_sync(&fixture).await?;
    set_granted(&cluster, "list", false).await?;

    let replica = start_replica(&cluster).await?;
    let words = ["cannot list resource", "configmaps", "grant this permission"];
    wait_warning(&replica, &words).await?;
    stays_unready(&replica).await?;

    set_granted(&cluster, "list", true).await?;
    wait_recovered(&replica, &fixture).await
}

#[tokio::test]
async fn a_missing_create_permission_is_reported_and_retried() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_source(&fixture).await?;
    set_granted(&cluster, "create", false).await?;
    let replica = start_replica(&cluster).await?;
    replica.wait_ready().await?;

    create_sync(&fixture).await?;
    let sync = fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    let conditions = sync.status.unwrap_or_default().conditions;
    let is_reported = conditions.iter().any(|it| {
        let words = ["cannot create resource", "configmaps", "app"];
        it.type_ == "Ready"
            && it.status == "False"
            && words.iter().all(|word| it.message.contains(word))
    });
    ensure!(is_reported, "no condition names the missing verb: {conditions:?}");
    ensure_not_panicked(&replica)?;

    set_granted(&cluster, "create", true).await?;
    wait_recovered(&replica, &fixture).await
}
