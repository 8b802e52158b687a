//! Contention is judged by what the operator has written, whatever the status reports.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use serde_json::json;

use crate::support::copies::to_selected;
use crate::support::copies::with_labels;

/// With delays of 1, 2, 4 and 8 s, the operator writes the copy at most [`MAX_WRITES`] times in this
/// time; in a hot loop, hundreds of times.
const CONTENDED: Duration = Duration::from_secs(20);
const MAX_WRITES: usize = 12;

/// Undoes the operator's writes of the copy `namespace/shared`. Returns how often.
async fn contend(fixture: &Fixture, namespace: &str) -> Result<usize> {
    let (begin, mut undone) = (Instant::now(), 0);
    while begin.elapsed() < CONTENDED {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let Some(copy) = fixture.config_map(namespace, "shared").await? else { continue };
        if copy.data.is_some_and(|data| data["a"] != "theirs") {
            let edit = json!({"data": {"a": "theirs"}});
            fixture.patch_config_map(namespace, "shared", &edit).await?;
            undone += 1;
        }
    }
    Ok(undone)
}

/// Fails unless the operator backs off when its writes of the copy `namespace/shared` are undone.
async fn ensure_backoff(cluster: &OperatorCluster, namespace: &str) -> Result<()> {
    let mark = cluster.audit().mark().await?;
    let undone = contend(&cluster.fixture(), namespace).await?;
    let writes = copy_writes_in(&cluster.audit().since(mark).await?, namespace).len();
    eprintln!("{writes} writes, undone {undone} times");
    ensure!(writes <= MAX_WRITES, "{writes} writes, undone {undone} times");
    Ok(())
}

#[tokio::test]
async fn contention_is_noticed_while_another_copy_is_terminating() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    for name in ["one", "two"] {
        fixture.create_labelled_namespace(name, &[("on", "1")]).await?;
    }
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let spec = to_selected(with_labels(&[("on", "1")]));
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let finalizer = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    fixture.patch_config_map("one", "shared", &finalizer).await?;
    fixture.delete_config_map("one", "shared").await?;
    fixture.wait_reason("central", "sync", "Progressing", SOON).await?;
    ensure_backoff(&cluster, "two").await?;
    fixture.patch_config_map("two", "shared", &json!({"data": {"a": "theirs"}})).await?;
    fixture.wait_reason("central", "sync", "Contended", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn contention_is_noticed_without_status() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    permissions::revoke(&cluster.control_plane, "configmapsyncs/status", &["patch"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_data("app", "shared", &[("a", "ours")], SOON).await?;
    ensure_backoff(&cluster, "app").await
}
