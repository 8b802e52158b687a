//! Orphan collection: fast options, and a check that a ConfigMap is not collected.

use std::time::Duration;

use anyhow::Result;
use harness::fixture::Fixture;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use testbed::wait::Seen;
use testbed::wait::stays;

/// An orphan is collected within this time.
pub const COLLECTED: Duration = Duration::from_mins(1);

/// Options with an orphan collection every second, after this grace period.
pub fn fast_collection(grace: &str) -> Options {
    let arguments = ["--sweep-period", "1s", "--orphan-grace", grace];
    Options { arguments: arguments.map(ToOwned::to_owned).to_vec(), ..Options::default() }
}

/// Fails if the metadata of a copy change within `period`.
pub async fn stays_untouched(fixture: &Fixture, copy: &ConfigMap, period: Duration) -> Result<()> {
    let namespace = copy.metadata.namespace.as_deref().unwrap_or_default();
    let name = copy.metadata.name.as_deref().unwrap_or_default();
    stays(format!("the ConfigMap {namespace}/{name} is unchanged"), period, || async {
        let now = fixture.config_map(namespace, name).await?.map(|now| now.metadata);
        let same = now.as_ref().is_some_and(|now| now == &copy.metadata);
        Ok(Seen::from_bool(same, || format!("{now:?}")))
    })
    .await
}
