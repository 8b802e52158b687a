//! Every revision of the ConfigMaps of a cluster, in the order of storage: no clock is trusted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::PostParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use tokio::task::JoinHandle;

use crate::fixture::SOON;
use crate::wait::Seen;
use crate::wait::until;

/// How the name begins of what marks the end of a history.
const MARK: &str = "e2e-history-";
/// The longest that one watch may last, in seconds; longer histories go on with another.
const WATCH: u32 = 290;

/// One revision: a `ConfigMap` as it was from then on, or the last that was seen of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The object.
    pub config_map: ConfigMap,
    /// Whether it went away.
    pub gone: bool,
}

/// A history that is being written.
pub struct History {
    client: Client,
    steps: Arc<Mutex<Vec<Step>>>,
    writer: JoinHandle<Result<()>>,
}

impl History {
    /// Begins with all that is there now.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn begin(client: Client) -> Result<Self> {
        let api = Api::<ConfigMap>::all(client.clone());
        let listed = api.list(&ListParams::default()).await.context("listing ConfigMaps")?;
        let version = listed.metadata.resource_version.unwrap_or_default();
        let here = listed.items.into_iter().map(|config_map| Step { config_map, gone: false });
        let steps = Arc::new(Mutex::new(here.collect::<Vec<_>>()));
        let writer = tokio::spawn(write(api, version, Arc::clone(&steps)));
        Ok(Self { client, steps, writer })
    }

    /// Ends with all that was written before the call.
    ///
    /// # Errors
    /// A revision was missed.
    pub async fn end(self) -> Result<Vec<Step>> {
        let name = format!("{MARK}{:016x}", fastrand::u64(..));
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let mark = ConfigMap { metadata, ..ConfigMap::default() };
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), "default");
        api.create(&PostParams::default(), &mark).await.context("marking the end")?;
        let is_mark = |step: &Step| step.config_map.metadata.name.as_ref() == Some(&name);
        until("the history has come to its end", SOON, || async {
            let steps = lock(&self.steps);
            let broken = self.writer.is_finished();
            if broken {
                bail!("the history broke off after {} revisions", steps.len());
            }
            Ok(Seen::from_bool(steps.iter().any(is_mark), || format!("{} revisions", steps.len())))
        })
        .await?;
        self.writer.abort();
        api.delete(&name, &DeleteParams::default()).await.context("removing the mark")?;
        let mut steps = std::mem::take(&mut *lock(&self.steps));
        steps.retain(|step| !is_mark(step));
        Ok(steps)
    }
}

/// How few of those that `count` there were at any revision since there was one. With it, where
/// those are that there were in the end.
pub fn fewest(
    steps: &[Step],
    count: impl Fn(&ConfigMap) -> bool,
) -> Option<(usize, BTreeSet<String>)> {
    let mut present = BTreeSet::new();
    let mut fewest = None;
    for step in steps {
        let metadata = &step.config_map.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let at = format!("{namespace}/{}", metadata.name.clone().unwrap_or_default());
        if !step.gone && count(&step.config_map) {
            present.insert(at);
        } else {
            present.remove(&at);
        }
        let before = if present.is_empty() { fewest } else { fewest.or(Some(present.len())) };
        fewest = before.map(|before: usize| before.min(present.len()));
    }
    fewest.map(|fewest| (fewest, present))
}

async fn write(
    api: Api<ConfigMap>,
    mut version: String,
    steps: Arc<Mutex<Vec<Step>>>,
) -> Result<()> {
    let parameters = WatchParams::default().timeout(WATCH);
    loop {
        let stream = api.watch(&parameters, &version).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.try_next().await? {
            let (config_map, gone) = match event {
                WatchEvent::Added(it) | WatchEvent::Modified(it) => (it, false),
                WatchEvent::Deleted(it) => (it, true),
                WatchEvent::Bookmark(mark) => {
                    version = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => bail!("{status:?}"),
            };
            version = config_map.metadata.resource_version.clone().unwrap_or_default();
            lock(&steps).push(Step { config_map, gone });
        }
    }
}

fn lock(steps: &Mutex<Vec<Step>>) -> std::sync::MutexGuard<'_, Vec<Step>> {
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, gone: bool) -> Step {
        let metadata = ObjectMeta {
            namespace: Some("a".to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        Step { config_map: ConfigMap { metadata, ..ConfigMap::default() }, gone }
    }

    fn of(steps: &[(&str, bool)]) -> Option<(usize, usize)> {
        let steps: Vec<_> = steps.iter().map(|(name, gone)| step(name, *gone)).collect();
        fewest(&steps, |_| true).map(|(fewest, left)| (fewest, left.len()))
    }

    #[test]
    fn the_fewest_are_counted_since_the_first() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("x", false)]), Some((1, 1)));
        assert_eq!(of(&[("x", false), ("y", false), ("x", true)]), Some((1, 1)));
        assert_eq!(of(&[("x", false), ("x", true), ("y", false)]), Some((0, 1)));
    }
}
