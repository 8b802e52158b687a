//! The kind goes, and comes back.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::orphan_collection::SWEPT;
use crate::support::orphan_collection::impatient;
use crate::support::orphan_collection::untouched;

#[tokio::test]
async fn without_the_kind_nothing_is_swept_and_with_it_all_goes_on() -> Result<()> {
    let world = OperatorCluster::start_with(1, impatient("1s")).await?;
    let fixture = world.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    definitions.delete(name, &DeleteParams::default()).await.context("deleting the CRD")?;
    until("the CRD is gone", SWEPT, || async {
        let found = definitions.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.map(|it| it.status))))
    })
    .await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the finalizers ran");

    let orphan = fixture.restore_copy("app", "orphan", "central/lost", "lost").await?;
    untouched(&fixture, &orphan, Duration::from_secs(8)).await?;
    let replica = &world.replicas[0];
    replica.process().expect_running()?;
    let panics = replica.logs().iter().any(|line| line.to_string().contains("panicked"));
    ensure!(!panics, "it panicked:\n{}", replica.process().tail(20));

    let file = manifest("crds/configmapsyncs.yaml");
    world.control_plane.apply_file(&file).await?;
    until("a ConfigMapSync can be created", SOON, || async {
        let spec = one_to_one("central", "shared", "app");
        Ok(match fixture.create_sync("central", "sync", spec).await {
            Ok(_) => Seen::Done(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .await?;
    fixture.wait_reason("central", "sync", "Synced", SWEPT).await?;
    fixture.wait_no_config_map("app", "orphan", SWEPT).await
}
