//! `ConfigMapSyncs`: those that carry our finalizer, page by page.

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::ListParams;

use crate::access::rule;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::observed::Version;
use crate::decide::uninstall::CopyOwner;
use crate::kubernetes::calls;
use crate::kubernetes::pages::each_page;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::Counts;
use crate::uninstall::Tell;
use crate::uninstall::copies::Owners;
use crate::uninstall::writes::Tally;

/// A sync that carries our finalizer.
pub struct Held {
    name: NamespacedName,
    version: Version,
    finalizers: Vec<String>,
}

/// Hands the syncs of each page that carry our finalizer to `held`. Without the kind there are
/// none.
///
/// # Errors
/// The list is refused.
pub async fn each_held(client: &Client, mut held: impl AsyncFnMut(Vec<Held>)) -> kube::Result<()> {
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let list = async |page| api.list_metadata(&page).await;
    let listed = each_page(ListParams::default(), list, async |page| {
        held(page.into_iter().filter_map(|sync| Held::of(sync.metadata)).collect()).await;
    });
    unless_unknown(listed.await)
}

/// One walk over all syncs that lifts our finalizer.
///
/// # Errors
/// The list is refused.
pub async fn pass(client: &Client, counts: &mut Counts, tell: Tell<'_>) -> kube::Result<Tally> {
    let mut tally = Tally::default();
    each_held(client, async |syncs| {
        if syncs.is_empty() {
            return;
        }
        let lift = async |Held { name, version, finalizers }: &Held| {
            let patch = requests::remove_finalizer(version, finalizers);
            calls::patch_finalizers(client, name, patch).await.map(drop)
        };
        tally.send(syncs, lift, |_| counts.lifted += 1).await;
        tell(&format!("ConfigMapSyncs: our finalizer lifted from {} so far", counts.lifted));
    })
    .await?;
    Ok(tally)
}

/// All syncs, by uid.
///
/// # Errors
/// The list is refused.
pub async fn owners(client: &Client) -> kube::Result<Owners> {
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let mut owners = Owners::new();
    let list = async |page| api.list(&page).await;
    let listed = each_page(ListParams::default(), list, async |page| {
        owners.extend(page.iter().filter_map(|sync| {
            let policy = sync.spec.as_ref().ok().map(|spec| spec.deletion_policy);
            let owner = CopyOwner { name: sync.namespaced_name()?, policy };
            Some((sync.metadata.uid.clone()?, owner))
        }));
    });
    unless_unknown(listed.await)?;
    Ok(owners)
}

/// A kind that the API server does not know has no objects.
fn unless_unknown(listed: kube::Result<()>) -> kube::Result<()> {
    match listed {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        listed => listed,
    }
}

// === impl Held ===

impl Held {
    fn of(metadata: ObjectMeta) -> Option<Self> {
        let finalizers = metadata.finalizers?;
        let is_held = finalizers.iter().any(|finalizer| finalizer == names::FINALIZER);
        let name = NamespacedName::new(metadata.namespace?, metadata.name?);
        let version = Version { uid: metadata.uid?, resource_version: metadata.resource_version? };
        is_held.then_some(Self { name, version, finalizers })
    }
}

/// What lifting finalizers needs.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs", &["list", "patch"])]
}
