//! The identity of a replica, as the audit log shows it.

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use harness::audit_queries::data_reads_by_operator;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::lines;

#[tokio::test]
async fn a_replica_authenticates_as_its_pod() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let user = cluster.fixture();
    user.create_namespaces(&["source", "destination"]).await?;
    user.create_config_map("source", "a", &[("k", "v")]).await?;
    let before = cluster.audit().mark().await?;
    let spec = ConfigMapSyncSpec {
        source_namespace: "source".to_owned(),
        config_map_name: "a".to_owned(),
        destination_namespace: Some("destination".to_owned()),
        ..ConfigMapSyncSpec::default()
    };
    user.create_sync("source", "a", spec).await?;
    user.wait_reason("source", "a", "Synced", SOON).await?;
    user.wait_data("destination", "a", &[("k", "v")], SOON).await?;

    let events = cluster.audit().since(before).await?;
    let replica = cluster.replica()?;
    let uid = &replica.pod().uid;
    let writes = writes_by_operator(&events);
    let from_others: Vec<_> = writes.iter().copied().filter(|it| it.pod_uid() != uid).collect();
    assert!(from_others.is_empty(), "{}", lines(&from_others));
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
    assert_eq!(cluster.wait_leader().await?, 0);
    Ok(())
}
