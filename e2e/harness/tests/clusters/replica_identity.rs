//! A replica of the operator, as the API server sees it.

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use harness::audit_queries::data_reads_by_operator;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::lines;

#[tokio::test]
async fn a_replica_acts_with_the_identity_of_its_pod() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let person = world.fixture();
    person.create_namespaces(&["source", "destination"]).await?;
    person.create_config_map("source", "a", &[("k", "v")]).await?;
    let before = world.audit().mark().await?;
    let spec = ConfigMapSyncSpec {
        source_namespace: "source".to_owned(),
        config_map_name: "a".to_owned(),
        destination_namespace: Some("destination".to_owned()),
        ..ConfigMapSyncSpec::default()
    };
    person.create_sync("source", "a", spec).await?;
    person.wait_reason("source", "a", "Synced", SOON).await?;
    person.wait_data("destination", "a", &[("k", "v")], SOON).await?;

    let events = world.audit().since(before).await?;
    let replica = world.replica()?;
    let uid = &replica.pod().uid;
    let writes = writes_by_operator(&events);
    let strangers: Vec<_> = writes.iter().copied().filter(|it| it.pod_uid() != uid).collect();
    assert!(strangers.is_empty(), "{}", lines(&strangers));
    let creates: Vec<_> = writes.iter().filter(|event| event.verb == "create").collect();
    assert_eq!(creates.len(), 1, "{}", lines(&writes));
    let reads = data_reads_by_operator(&events);
    assert_eq!(reads.len(), 1, "{}", lines(&reads));

    assert!(replica.metrics().await?.contains("controller_runtime_reconcile"));
    replica.process().terminate()?;
    let status = replica.process().wait_exit(SOON).await?;
    assert_eq!(status.code(), Some(0), "{}", replica.process().tail(10));
    replica.restart()?;
    replica.wait_ready().await?;
    assert_eq!(world.wait_leader().await?, 0);
    Ok(())
}
