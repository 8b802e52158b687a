//! Promise: one leads, whatever happens to the Lease; it says so before it writes, and hands over.

mod announced;
mod fenced;
mod forbidden;
mod hand_over;
mod tampering;
mod terms;

use std::time::Duration;

use anyhow::Result;
use harness::fixture::Fixture;
use harness::replica::Options;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use testbed::accounts::OPERATOR;

/// How long a Lease lasts here, and how long a leader goes on without renewing it: shorter than
/// by default, so that more can happen in less time.
const LEASE_DURATION: Duration = Duration::from_secs(9);
const RENEW_DEADLINE: Duration = Duration::from_secs(8);
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// The default leaves ten seconds more than a Lease lasts until somebody leads again.
const LEADS_AGAIN: Duration = Duration::from_secs(19);

fn hasty() -> Options {
    Options::timed(LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD)
}

fn leases(fixture: &Fixture) -> Api<Lease> {
    Api::namespaced(fixture.client(), OPERATOR)
}

/// Edits the source, and waits until the copy has followed.
async fn edit_is_followed(fixture: &Fixture, value: &str, within: Duration) -> Result<()> {
    let patch = json!({"data": {"a": value}});
    fixture.patch_config_map("central", "shared", &patch).await?;
    fixture.wait_data("app", "shared", &[("a", value)], within).await?;
    Ok(())
}
