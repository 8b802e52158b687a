//! Election with short times, and edits that show who leads.

use std::time::Duration;

use anyhow::Result;
use configmapsync::api::ConfigMapSyncLeader;
use harness::fixture::Fixture;
use harness::replica::Options;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use testbed::accounts::OPERATOR;

/// Duration of the Lease, shorter than by default so that the tests are faster.
pub const LEASE_DURATION: Duration = Duration::from_secs(9);
/// A leader that has not renewed the Lease for this time exits.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(8);
/// Time between two attempts to acquire or renew the Lease.
pub const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Deadline for the next leader: the duration of the Lease plus ten seconds, as with the defaults.
pub const NEXT_LEADER: Duration = Duration::from_secs(19);

/// Options of a replica with these times.
pub fn short_lease() -> Options {
    Options::timed(LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD)
}

/// The Leases in the namespace of the operator.
pub fn leases(fixture: &Fixture) -> Api<Lease> {
    Api::namespaced(fixture.client(), OPERATOR)
}

/// The leader records in the namespace of the operator.
pub fn leaders(fixture: &Fixture) -> Api<ConfigMapSyncLeader> {
    Api::namespaced(fixture.client(), OPERATOR)
}

/// Edits the source, and waits until the copy is updated.
pub async fn edit_and_wait(fixture: &Fixture, value: &str, within: Duration) -> Result<()> {
    let patch = json!({"data": {"a": value}});
    fixture.patch_config_map("central", "shared", &patch).await?;
    fixture.wait_data("app", "shared", &[("a", value)], within).await?;
    Ok(())
}
