//! The copies of a ConfigMapSync with a selector.

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

/// A selector of namespaces with these labels.
pub fn with_labels(labels: &[(&str, &str)]) -> LabelSelector {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// A spec that copies `central/shared` into every selected namespace.
pub fn to_selected(selector: LabelSelector) -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        source_namespace: "central".to_owned(),
        config_map_name: "shared".to_owned(),
        destination_namespace_selector: Some(selector),
        ..ConfigMapSyncSpec::default()
    }
}

/// The namespaces with a copy of the ConfigMapSync `central/NAME`.
pub async fn copy_namespaces(fixture: &Fixture, name: &str) -> Result<BTreeSet<String>> {
    let sync = fixture.sync("central", name).await?.context("no such ConfigMapSync")?;
    let uid = sync.metadata.uid.unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{}={uid}", names::LABEL_SYNC_UID));
    let copies = Api::<ConfigMap>::all(fixture.client()).list(&ours).await?;
    Ok(copies.items.into_iter().filter_map(|copy| copy.metadata.namespace).collect())
}

/// Waits until the ConfigMapSync `central/NAME` has copies in exactly these namespaces, and its
/// status counts them.
pub async fn wait_copies_in(
    fixture: &Fixture,
    name: &str,
    wanted: &[&str],
    deadline: Duration,
) -> Result<()> {
    let wanted: BTreeSet<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
    until(format!("central/{name} has copies in exactly {wanted:?}"), deadline, || async {
        let found = copy_namespaces(fixture, name).await?;
        let sync = fixture.sync("central", name).await?.context("no such ConfigMapSync")?;
        let counted = sync.status.and_then(|status| status.copies).unwrap_or_default();
        let reported = usize::try_from(counted.ready).is_ok_and(|ready| ready == wanted.len());
        let done = found == wanted && reported && counted.desired == counted.ready;
        Ok(Seen::from_bool(done, || format!("{found:?}, {counted:?}")))
    })
    .await
}
