//! Orphan collection: its options, and what it leaves alone.

use std::time::Duration;

use anyhow::Result;
use harness::fixture::Fixture;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use testbed::wait::Seen;
use testbed::wait::stays;

/// "Swept within 60 seconds."
pub const SWEPT: Duration = Duration::from_mins(1);

/// Replicas that look every second, and wait for so long before they sweep.
pub fn impatient(grace: &str) -> Options {
    let arguments = ["--sweep-period", "1s", "--orphan-grace", grace];
    Options { arguments: arguments.map(ToOwned::to_owned).to_vec(), ..Options::default() }
}

/// Makes sure that a copy is as it was for a while.
pub async fn untouched(fixture: &Fixture, copy: &ConfigMap, period: Duration) -> Result<()> {
    let namespace = copy.metadata.namespace.as_deref().unwrap_or_default();
    let name = copy.metadata.name.as_deref().unwrap_or_default();
    stays(format!("{namespace}/{name} is untouched"), period, || async {
        let now = fixture.config_map(namespace, name).await?.map(|now| now.metadata);
        let same = now.as_ref().is_some_and(|now| now == &copy.metadata);
        Ok(Seen::from_bool(same, || format!("{now:?}")))
    })
    .await
}
