//! Copies: all that carry our uid label, page by page, by their metadata alone.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::ListParams;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Entry;
use crate::decide::Action;
use crate::decide::uninstall::CopyHandling;
use crate::decide::uninstall::CopyOwner;
use crate::decide::uninstall::MarkedCopy;
use crate::decide::uninstall::uninstall_action;
use crate::kubernetes::calls;
use crate::kubernetes::pages::each_page;
use crate::names;
use crate::uninstall::Counts;
use crate::uninstall::Tell;
use crate::uninstall::writes::Tally;

/// The syncs that there are, by uid.
pub type Owners = HashMap<String, CopyOwner>;

/// What has to be done at one place.
pub type Step = (NamespacedName, Action);

/// Hands what has to be done to the copies of each page to `steps`.
///
/// # Errors
/// The list is refused.
pub async fn each_step(
    client: &Client,
    copies: CopyHandling,
    owners: &Owners,
    mut steps: impl AsyncFnMut(Vec<Step>),
) -> kube::Result<()> {
    let api: Api<ConfigMap> = Api::all(client.clone());
    let marked = ListParams::default().labels(names::LABEL_SYNC_UID);
    let list = async |page| api.list_metadata(&page).await;
    each_page(marked, list, async |page| {
        let found = page.iter().filter_map(|copy| step(&copy.metadata, owners, copies));
        steps(found.collect()).await;
    })
    .await
}

/// One walk over all copies that does what has to be done.
///
/// # Errors
/// The list is refused.
pub async fn pass(
    client: &Client,
    copies: CopyHandling,
    owners: &Owners,
    counts: &mut Counts,
    tell: Tell<'_>,
) -> kube::Result<Tally> {
    let mut tally = Tally::default();
    each_step(client, copies, owners, async |steps| {
        if steps.is_empty() {
            return;
        }
        let retire = async |(at, action): &Step| calls::retire(client, at, action).await;
        tally.send(steps, retire, |(_, action)| counts.add(action)).await;
        let Counts { spared, deleted, released, .. } = counts;
        tell(&format!("copies: {spared} spared, {deleted} deleted, {released} released so far"));
    })
    .await?;
    Ok(tally)
}

fn step(metadata: &ObjectMeta, owners: &Owners, copies: CopyHandling) -> Option<Step> {
    let ObjectMeta { namespace, name, .. } = metadata;
    let at = NamespacedName::new(namespace.clone()?, name.clone()?);
    let Entry { version, deleting, managed_by, markers, .. } = Entry::of(metadata)?;
    let markers = markers?;
    let owner = owners.get(&markers.sync_uid).cloned();
    let copy = MarkedCopy { version, deleting, markers, managed_by, owner };
    let action = uninstall_action(&at, &copy, copies)?;
    Some((at, action))
}

// === impl Counts ===

impl Counts {
    /// Counts what is done to a copy.
    pub fn add(&mut self, action: &Action) {
        match action {
            Action::Restamp { .. } => self.spared += 1,
            Action::Delete { .. } => self.deleted += 1,
            Action::Release { .. } => self.released += 1,
            _ => {}
        }
    }
}

/// What finding and sparing copies needs.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["list", "patch"])]
}

/// What deleting them needs besides.
#[must_use]
pub fn access_to_delete() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["delete"])]
}
