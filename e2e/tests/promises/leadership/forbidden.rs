//! Promise: where the Lease may not be written, nobody leads, everybody says why, and it mends
//! itself within five seconds of the right being back. Where other tests run beside, in twelve:
//! `E2E_FULL=1` asks for five, after ten minutes.

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

use crate::leadership::LEASE_DURATION;
use crate::leadership::RENEW_DEADLINE;
use crate::leadership::RETRY_PERIOD;
use crate::leadership::edit_is_followed;
use crate::leadership::hasty;
use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// Takes the right to patch the Lease away, or gives it back.
async fn may_patch(fixture: &Fixture, wanted: bool) -> Result<()> {
    let roles = Api::<Role>::namespaced(fixture.client(), OPERATOR);
    let mut role = roles.get(OPERATOR).await?;
    for rule in role.rules.iter_mut().flatten() {
        if rule.resources.iter().flatten().any(|it| it == "leases") && rule.resource_names.is_some()
        {
            rule.verbs.retain(|verb| verb != "patch");
            rule.verbs.extend(wanted.then(|| "patch".to_owned()));
        }
    }
    roles.replace(OPERATOR, &PostParams::default(), &role).await?;
    Ok(())
}

#[tokio::test]
async fn a_lease_that_may_not_be_patched_stops_the_leader_and_is_told() -> Result<()> {
    let mut world = OperatorCluster::start_with(2, hasty()).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let leader = world.take_leader().await?;
    may_patch(&fixture, false).await?;
    let stops = RENEW_DEADLINE + 2 * RETRY_PERIOD + Duration::from_secs(10);
    let status = leader.process().wait_exit(stops).await?;
    ensure!(status.code() == Some(1), "a leader that may not renew ended with {status}");

    let mark = world.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &serde_json::json!({"data": {"a": "2"}})).await?;
    let standby = &world.replicas[0];
    until("the standby says that it may not", LEASE_DURATION + SOON, || async {
        let counted = "configmapsync_lease_failures_total{reason=\"forbidden\"} ";
        let metrics = standby.metrics().await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(counted));
        let told = standby.logs().iter().map(ToString::to_string).find(|line| {
            line.contains("cannot patch resource") && line.contains("cannot acquire or renew Lease")
        });
        let is_told = told.is_some() && count.is_some_and(|count| count != "0");
        Ok(Seen::from_bool(is_told, || format!("{count:?} {told:?}")))
    })
    .await?;
    let long = quick_or_full(Duration::from_secs(5), Duration::from_mins(10));
    stays("nobody writes", long, || async {
        standby.process().expect_running()?;
        let events = world.audit().since(mark).await?;
        let writes = copy_writes(&events);
        Ok(Seen::from_bool(writes.is_empty(), || lines(&writes)))
    })
    .await?;

    let began = Instant::now();
    may_patch(&fixture, true).await?;
    let mends = quick_or_full(Duration::from_secs(12), Duration::from_secs(5));
    fixture.wait_data("app", "shared", &[("a", "2")], mends).await?;
    eprintln!("the copy followed {:.1} s after the right was back", began.elapsed().as_secs_f32());
    edit_is_followed(&fixture, "3", SOON).await
}
