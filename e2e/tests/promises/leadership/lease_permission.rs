//! Without permission to patch the Lease, no replica leads, and the log and a metric report why.
//! With the permission back, copies are updated within twelve seconds, or within five with
//! `E2E_FULL=1`, which revokes it for ten minutes.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::PostParams;
use testbed::accounts::OPERATOR;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::leadership::support::LEASE_DURATION;
use crate::leadership::support::RENEW_DEADLINE;
use crate::leadership::support::RETRY_PERIOD;
use crate::leadership::support::edit_and_wait;
use crate::leadership::support::short_lease;
use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// Grants or revokes the permission to patch the Lease.
async fn set_patch_permission(fixture: &Fixture, granted: bool) -> Result<()> {
    let roles = Api::<Role>::namespaced(fixture.client(), OPERATOR);
    let mut role = roles.get(OPERATOR).await?;
    for rule in role.rules.iter_mut().flatten() {
        if rule.resources.iter().flatten().any(|it| it == "leases") && rule.resource_names.is_some()
        {
            rule.verbs.retain(|verb| verb != "patch");
            rule.verbs.extend(granted.then(|| "patch".to_owned()));
        }
    }
    roles.replace(OPERATOR, &PostParams::default(), &role).await?;
    Ok(())
}

#[tokio::test]
async fn a_forbidden_lease_stops_the_leader_and_is_reported() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let leader = cluster.take_leader().await?;
    set_patch_permission(&fixture, false).await?;
    let exits = RENEW_DEADLINE + 2 * RETRY_PERIOD + Duration::from_secs(10);
    let status = leader.process().wait_exit(exits).await?;
    ensure!(
        status.code() == Some(1),
        "the leader exited with {status} without permission to renew"
    );

    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &serde_json::json!({"data": {"a": "2"}})).await?;
    let standby = &cluster.replicas[0];
    until("the standby reports the missing permission", LEASE_DURATION + SOON, || async {
        let counted = "configmapsync_lease_failures_total{reason=\"forbidden\"} ";
        let metrics = standby.metrics().await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(counted));
        let line = standby.logs().iter().map(ToString::to_string).find(|line| {
            line.contains("cannot patch resource") && line.contains("cannot acquire or renew Lease")
        });
        let is_reported = line.is_some() && count.is_some_and(|count| count != "0");
        Ok(Seen::from_bool(is_reported, || format!("count {count:?}, log line {line:?}")))
    })
    .await?;
    let period = quick_or_full(Duration::from_secs(5), Duration::from_mins(10));
    stays("no copy is written", period, || async {
        standby.process().expect_running()?;
        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes(&events);
        Ok(Seen::from_bool(writes.is_empty(), || lines(&writes)))
    })
    .await?;

    let began = Instant::now();
    set_patch_permission(&fixture, true).await?;
    let deadline = quick_or_full(Duration::from_secs(12), Duration::from_secs(5));
    fixture.wait_data("app", "shared", &[("a", "2")], deadline).await?;
    eprintln!(
        "the copy was updated {:.1} s after the permission was granted",
        began.elapsed().as_secs_f32()
    );
    edit_and_wait(&fixture, "3", SOON).await
}
