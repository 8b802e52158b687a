//! Where a ConfigMapSync has copies, in the words of several promises.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::names;
use harness::fixture::Fixture;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::ListParams;
use testbed::wait::Seen;
use testbed::wait::until;

/// A selector for namespaces that have these labels.
pub fn labelled(labels: &[(&str, &str)]) -> LabelSelector {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// A spec that copies `central/shared` into every namespace that matches.
pub fn to_all(selector: LabelSelector) -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        source_namespace: "central".to_owned(),
        config_map_name: "shared".to_owned(),
        destination_namespace_selector: Some(selector),
        ..ConfigMapSyncSpec::default()
    }
}

/// The namespaces that have a copy by the sync `central/NAME`.
pub async fn places(fixture: &Fixture, name: &str) -> Result<BTreeSet<String>> {
    let sync = fixture.sync("central", name).await?.context("no such ConfigMapSync")?;
    let uid = sync.metadata.uid.unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{}={uid}", names::LABEL_SYNC_UID));
    let copies = Api::<ConfigMap>::all(fixture.client()).list(&ours).await?;
    Ok(copies.items.into_iter().filter_map(|copy| copy.metadata.namespace).collect())
}

/// Waits until the sync `central/NAME` has copies in these namespaces and in no others, and says
/// so in its status.
pub async fn wait_places(
    fixture: &Fixture,
    name: &str,
    wanted: &[&str],
    deadline: Duration,
) -> Result<()> {
    let wanted: BTreeSet<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
    until(format!("the copies by {name} are in {wanted:?}"), deadline, || async {
        let found = places(fixture, name).await?;
        let sync = fixture.sync("central", name).await?.context("no such ConfigMapSync")?;
        let counted = sync.status.and_then(|status| status.copies).unwrap_or_default();
        let said = usize::try_from(counted.ready).is_ok_and(|ready| ready == wanted.len());
        let done = found == wanted && said && counted.desired == counted.ready;
        Ok(Seen::from_bool(done, || format!("{found:?}, {counted:?}")))
    })
    .await
}
