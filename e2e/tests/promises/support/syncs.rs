//! ConfigMapSyncs of a namespace.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use harness::fixture::Fixture;
use kube::Api;
use kube::api::ListParams;
use testbed::wait::Seen;
use testbed::wait::until;

/// Waits until `check` accepts the ConfigMapSyncs of a namespace, by name. `what` completes
/// "waiting until ...".
pub async fn wait_syncs<T>(
    fixture: &Fixture,
    namespace: &str,
    what: &str,
    deadline: Duration,
    check: impl Fn(&BTreeMap<String, ConfigMapSync>) -> Seen<T>,
) -> Result<T> {
    let api = Api::<ConfigMapSync>::namespaced(fixture.client(), namespace);
    until(what, deadline, || async {
        let listed = api.list(&ListParams::default()).await?.items.into_iter();
        let syncs = listed.map(|sync| (sync.metadata.name.clone().unwrap_or_default(), sync));
        Ok(check(&syncs.collect()))
    })
    .await
}
