//! Another client removes the finalizer whenever the operator has set it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;

/// With delays of 1, 2, 4 and 8 s, the operator sets the finalizer at most [`MAX_PATCHES`] times in
/// this time; in a hot loop, hundreds of times.
const CONTENDED: Duration = Duration::from_secs(20);
const MAX_PATCHES: usize = 12;
/// For each patch of the finalizer, two of the status: `Synced` and `Contended`.
const MAX_WRITES: usize = 3 * MAX_PATCHES;
/// The delay has grown to at most 19 seconds when the other client stops.
const RESTORED: Duration = Duration::from_secs(45);
/// Less than the delay at that time.
const DELETED: Duration = Duration::from_secs(8);

/// Removes the finalizer whenever it is there. Returns how often, and the messages of `Contended`.
async fn contend(fixture: &Fixture) -> Result<(usize, Vec<String>)> {
    let (begin, mut undone, mut messages) = (Instant::now(), 0, Vec::new());
    while begin.elapsed() < CONTENDED {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let Some(sync) = fixture.sync("central", "sync").await? else { continue };
        let conditions = sync.status.map(|status| status.conditions).unwrap_or_default();
        let contended = conditions.into_iter().filter(|it| it.reason == "Contended");
        messages.extend(contended.map(|it| it.message));
        if sync.metadata.finalizers.is_some_and(|it| !it.is_empty()) {
            let none = json!({"metadata": {"finalizers": null}});
            fixture.patch_sync("central", "sync", &none).await?;
            undone += 1;
        }
    }
    Ok((undone, messages))
}

#[tokio::test]
async fn a_fight_about_the_finalizer_is_no_hot_loop() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    let (undone, messages) = contend(&fixture).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let mut patches = writes.clone();
    patches.retain(|it| it.resource() == "configmapsyncs" && it.object_ref.subresource.is_empty());
    let summary = format!("{} patches, undone {undone} times", patches.len());
    eprintln!("{summary}, {} writes", writes.len());
    ensure!(patches.len() <= MAX_PATCHES, "{summary}");
    ensure!(writes.len() <= MAX_WRITES, "{}", lines(&writes));
    ensure!(messages.iter().any(|it| it.contains("finalizer")), "not reported: {messages:?}");

    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], RESTORED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    // The next restoration of the finalizer would wait, but not its removal.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", DELETED).await
}
