//! Records the history of a run by watches.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncLeader;
use configmapsync::api::namespaced_name::NamespacedName;
use futures::Stream;
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::ListParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use parking_lot::Mutex;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinSet;

use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::history::revision;

/// Pause before a broken watch is started again.
const PAUSE: Duration = Duration::from_millis(100);
/// Status for revisions that are compacted.
const EXPIRED: u16 = 410;
/// Status for kinds that are not installed.
const MISSING: u16 = 404;

/// Records every revision of the `ConfigMap`s, `ConfigMapSync`s, namespaces, Leases of the operator and
/// leader records of a cluster. Recording stops when it is dropped.
///
/// It continues after a restart of etcd. A restart of its API server can lose revisions, which
/// [`Recorder::history`] reports as an error: in such a run, record through
/// [another API server](testbed::control_plane::api_server::ApiServer).
pub struct Recorder {
    client: Client,
    kinds: Vec<Kind>,
    recorded: Arc<Mutex<Recorded>>,
    _watches: JoinSet<()>,
}

#[derive(Default)]
struct Recorded {
    changes: Vec<Change>,
    /// Why revisions may be missing.
    broken: Option<String>,
}

impl Recorder {
    /// Starts with the objects that exist now. Kinds that are not installed are skipped.
    pub async fn start(client: Client) -> Result<Self> {
        let recorded = Arc::<Mutex<Recorded>>::default();
        let mut watches = JoinSet::new();
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            let api = api(&client, kind);
            let list = match api.list(&ListParams::default()).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.code == MISSING => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("listing {}", kind.resource()));
                }
            };
            kinds.push(kind);
            let version = list.metadata.resource_version.unwrap_or_default();
            for object in list.items {
                recorded.lock().changes.push(change(kind, &object, false, true)?);
            }
            watches.spawn(record(kind, api, version, Arc::clone(&recorded)));
        }
        Ok(Self { client, kinds, recorded, _watches: watches })
    }

    /// The history so far. It contains every change whose response was sent before this call.
    ///
    /// # Errors
    /// If revisions may be missing, or if a watch does not deliver a change within ten seconds.
    pub async fn history(&self) -> Result<History> {
        for kind in self.kinds.iter().copied() {
            let list = api(&self.client, kind).list_metadata(&ListParams::default()).await?;
            let listed: Vec<_> = list
                .items
                .iter()
                .filter_map(|it| {
                    let at = NamespacedName::new(it.namespace().unwrap_or_default(), it.name_any());
                    Some((at, it.resource_version()?.parse::<u64>().ok()?))
                })
                .collect();
            let version = list.metadata.resource_version.unwrap_or_default();
            let version: u64 = version.parse().context("the list has no resourceVersion")?;
            let what = format!("the watch of {} has delivered all listed changes", kind.resource());
            until(what, Duration::from_secs(10), || async {
                let history = self.snapshot()?;
                let missing = missing(&history, kind, &listed, version);
                Ok(Seen::from_bool(missing.is_empty(), || format!("missing: {missing:?}")))
            })
            .await?;
        }
        self.snapshot()
    }

    /// The newest recorded change of each object that is `wanted` and exists, without any request:
    /// for frequent checks. It may miss the changes of the last moments.
    ///
    /// # Errors
    /// If revisions may be missing.
    pub fn present(&self, wanted: impl Fn(&Change) -> bool) -> Result<Vec<Change>> {
        let recorded = self.recorded.lock();
        recorded.ensure_complete()?;
        let mut newest = BTreeMap::new();
        for change in recorded.changes.iter().filter(|change| wanted(change)) {
            newest.insert((change.kind, &change.at), change);
        }
        Ok(newest.into_values().filter(|change| !change.deleted).cloned().collect())
    }

    /// The newest recorded revision; 0 if nothing is recorded.
    #[must_use]
    pub fn last_revision(&self) -> u64 {
        self.recorded.lock().changes.iter().map(|change| change.revision).max().unwrap_or_default()
    }

    fn snapshot(&self) -> Result<History> {
        let recorded = self.recorded.lock();
        recorded.ensure_complete()?;
        Ok(History::new(recorded.changes.clone()))
    }
}

impl Recorded {
    fn ensure_complete(&self) -> Result<()> {
        if let Some(broken) = &self.broken {
            bail!("revisions may be missing from the history: {broken}");
        }
        Ok(())
    }
}

/// The objects in which a list at `version` and the history differ.
fn missing(
    history: &History,
    kind: Kind,
    listed: &[(NamespacedName, u64)],
    version: u64,
) -> Vec<NamespacedName> {
    let unrecorded = listed.iter().filter(|(at, revision)| {
        history.of(kind, at).next_back().is_none_or(|change| change.revision < *revision)
    });
    let names: BTreeSet<_> = listed.iter().map(|(at, _)| at).collect();
    let present = history.present(kind, version);
    let unlisted = present.into_iter().map(|change| &change.at).filter(|at| !names.contains(at));
    unrecorded.map(|(at, _)| at).chain(unlisted).cloned().collect()
}

async fn record(
    kind: Kind,
    api: Api<DynamicObject>,
    version: String,
    recorded: Arc<Mutex<Recorded>>,
) {
    if let Err(error) = follow(kind, api, version, &recorded).await {
        recorded.lock().broken = Some(format!("watching {}: {error:#}", kind.resource()));
    }
}

/// Watches from `version`, and again from the last version whenever a watch ends or breaks.
async fn follow(
    kind: Kind,
    api: Api<DynamicObject>,
    mut version: String,
    recorded: &Mutex<Recorded>,
) -> Result<()> {
    loop {
        match api.watch(&WatchParams::default(), &version).await {
            Ok(events) => record_events(kind, Box::pin(events), &mut version, recorded).await?,
            Err(kube::Error::Api(status)) if status.code == EXPIRED => bail!("{status:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Records the events of one watch, until it ends or breaks.
async fn record_events(
    kind: Kind,
    mut events: impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin,
    version: &mut String,
    recorded: &Mutex<Recorded>,
) -> Result<()> {
    while let Some(Ok(event)) = events.next().await {
        let (object, deleted) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(error) if error.code == EXPIRED => bail!("{error:?}"),
            WatchEvent::Error(_) => return Ok(()),
        };
        *version = object.resource_version().context("a watch event without a resourceVersion")?;
        let change = change(kind, &object, deleted, false)?;
        recorded.lock().changes.push(change);
    }
    Ok(())
}

fn change(kind: Kind, object: &DynamicObject, deleted: bool, listed: bool) -> Result<Change> {
    let at = NamespacedName::new(object.namespace().unwrap_or_default(), object.name_any());
    let mut object = serde_json::to_value(object)?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // No oracle uses field managers.
        metadata.remove("managedFields");
    }
    let revision = revision(&object).context("an object without a resourceVersion")?;
    Ok(Change { kind, at, revision, object, deleted, listed })
}

fn api(client: &Client, kind: Kind) -> Api<DynamicObject> {
    let all = |resource| Api::all_with(client.clone(), &resource);
    match kind {
        Kind::ConfigMap => all(ApiResource::erase::<ConfigMap>(&())),
        Kind::Sync => all(ApiResource::erase::<ConfigMapSync>(&())),
        Kind::Namespace => all(ApiResource::erase::<Namespace>(&())),
        Kind::Leader => all(ApiResource::erase::<ConfigMapSyncLeader>(&())),
        Kind::Lease => {
            Api::namespaced_with(client.clone(), OPERATOR, &ApiResource::erase::<Lease>(&()))
        }
    }
}
