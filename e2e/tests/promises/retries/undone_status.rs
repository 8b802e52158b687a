//! Another client changes the status whenever the operator has written it.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::writes_by_operator;
use harness::operator_cluster::OperatorCluster;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;

/// With delays of 1, 2, 4 and 8 s, the operator writes the status at most [`MAX_PATCHES`] times in
/// this time; in a hot loop, hundreds of times.
const CONTENDED: Duration = Duration::from_secs(20);
const MAX_PATCHES: usize = 12;
/// Copies do not wait for the status.
const FOLLOWED: Duration = Duration::from_secs(5);
/// The delay has grown to at most 19 seconds when the other client stops.
const RESTORED: Duration = Duration::from_secs(45);

/// Removes the conditions whenever they are there. Returns how often.
async fn contend(syncs: &Api<ConfigMapSync>) -> Result<usize> {
    let (begin, mut undone) = (Instant::now(), 0);
    while begin.elapsed() < CONTENDED {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let status = syncs.get("sync").await?.status.unwrap_or_default();
        if !status.conditions.is_empty() {
            let none = Patch::Merge(json!({"status": {"conditions": null}}));
            syncs.patch_status("sync", &PatchParams::default(), &none).await?;
            undone += 1;
        }
    }
    Ok(undone)
}

#[tokio::test]
async fn a_fight_about_the_status_is_no_hot_loop() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let syncs = Api::namespaced(fixture.client(), "central");
    let mark = cluster.audit().mark().await?;
    let undone = contend(&syncs).await?;
    let events = cluster.audit().since(mark).await?;
    let patches = writes_by_operator(&events).len();
    eprintln!("{patches} patches, undone {undone} times");
    ensure!(patches <= MAX_PATCHES, "{patches} patches, undone {undone} times");

    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", RESTORED).await?;
    Ok(())
}
