//! The cleanup of a copy does not wait for the backoff of its updates.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::deny_policy::DenyPolicy;

/// The ConfigMapSync is gone within this time: less than the delay of the next update.
const GONE: Duration = Duration::from_secs(10);
/// Refused updates after which the next one waits for 25 s at least.
const REFUSALS: usize = 6;
/// The next repair of a contended copy waits for at least this long.
const CONTENDED_DELAY: Duration = Duration::from_secs(22);
const CONTENDED: Duration = Duration::from_mins(3);

#[tokio::test]
async fn a_deletion_does_not_wait_for_a_refused_update() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let policy = DenyPolicy::install(&cluster.control_plane, "app", "UPDATE").await?;
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    until(format!("the update is refused {REFUSALS} times"), SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let attempts = copy_writes_in(&events, "app").len();
        Ok(Seen::from_bool(attempts >= REFUSALS, || format!("{attempts} attempts")))
    })
    .await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", GONE).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy is left");
    policy.remove().await
}

#[tokio::test]
async fn a_deletion_does_not_wait_for_a_long_retry_after() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let busy = Fault::Respond(CannedResponse::failure(503).retry_after(3600));
    proxy.add(Rule::new(busy).method(Method::PATCH).path_contains("/app/configmaps/"));
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_reason("central", "sync", "ApiError", SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", GONE).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy is left");
    Ok(())
}

#[tokio::test]
async fn a_deletion_does_not_wait_for_contention() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({"data": {"a": "theirs"}});
    fixture.patch_config_map("app", "shared", &edit).await?;
    let mut edited = Instant::now();
    let mut waited = Duration::ZERO;
    // Each repair is undone at once. A repair after 11 s or more is followed by twice that delay.
    while waited < CONTENDED_DELAY / 2 {
        until("the copy is repaired", CONTENDED, || async {
            let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
            let is_repaired = copy.data.as_ref().is_some_and(|data| data["a"] == "1");
            Ok(Seen::from_bool(is_repaired, || format!("{:?}", copy.data)))
        })
        .await?;
        waited = edited.elapsed();
        fixture.patch_config_map("app", "shared", &edit).await?;
        edited = Instant::now();
    }
    fixture.wait_reason("central", "sync", "Contended", SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", GONE).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy is left");
    Ok(())
}
