//! While the `CustomResourceDefinition` is missing, no copy is collected.

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

use crate::support::orphan_collection::COLLECTED;
use crate::support::orphan_collection::fast_collection;
use crate::support::orphan_collection::stays_untouched;

#[tokio::test]
async fn nothing_is_collected_until_the_crd_is_restored() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, fast_collection("1s")).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    definitions.delete(name, &DeleteParams::default()).await.context("deleting the CRD")?;
    until("the CustomResourceDefinition is gone", COLLECTED, || async {
        let found = definitions.get_opt(name).await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.map(|it| it.status))))
    })
    .await?;
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "the copy was not deleted with its ConfigMapSync"
    );

    let orphan = fixture.restore_copy("app", "orphan", "central/lost", "lost").await?;
    stays_untouched(&fixture, &orphan, Duration::from_secs(8)).await?;
    let replica = &cluster.replicas[0];
    replica.process().expect_running()?;
    let has_panicked = replica.logs().iter().any(|line| line.to_string().contains("panicked"));
    ensure!(!has_panicked, "the operator panicked:\n{}", replica.process().tail(20));

    let file = manifest("crds/configmapsyncs.yaml");
    cluster.control_plane.apply_file(&file).await?;
    until("a ConfigMapSync can be created", SOON, || async {
        let spec = one_to_one("central", "shared", "app");
        Ok(match fixture.create_sync("central", "sync", spec).await {
            Ok(_) => Seen::Done(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .await?;
    fixture.wait_reason("central", "sync", "Synced", COLLECTED).await?;
    fixture.wait_no_config_map("app", "orphan", COLLECTED).await
}
