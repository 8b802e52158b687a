//! The source and its copy.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::runtime::watcher::watch_object;
use serde_json::json;
use tokio::time;

use crate::samples::CONFIG_MAP;
use crate::samples::COPY_NAMESPACE;
use crate::samples::SOURCE_NAMESPACE;

/// The time limit for a change of the copy, which usually takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// Access to the source and to its copy.
pub struct CopyPair {
    pub source: Api<ConfigMap>,
    pub copy: Api<ConfigMap>,
}

impl CopyPair {
    pub fn new(client: &Client) -> Self {
        let api = |namespace| Api::namespaced(client.clone(), namespace);
        Self { source: api(SOURCE_NAMESPACE), copy: api(COPY_NAMESPACE) }
    }

    /// Sets one value in the source. Returns the time until the copy had it.
    pub async fn edit_source(&self, key: &str, value: &str) -> Result<Duration> {
        let edit = set(&self.source, key, value);
        let has = |copy: Option<&ConfigMap>| value_of(copy, key) == Some(value);
        self.watch_copy(edit, &format!("{key}={value} in the copy"), has).await
    }

    /// Sets one value in the copy. Returns the time until the operator had reverted it.
    pub async fn edit_copy(&self, key: &str, value: &str) -> Result<Duration> {
        let before = self.copy.get(CONFIG_MAP).await.context("reading the copy")?.data;
        let edit = set(&self.copy, key, value);
        // The first event of the watch is the edit itself.
        let repaired = |copy: Option<&ConfigMap>| copy.is_some_and(|copy| copy.data == before);
        self.watch_copy(edit, &format!("{key}={value} to be reverted in the copy"), repaired).await
    }

    /// Does `action` while watching the copy. Returns the time from its start until the copy was
    /// `done`, which `expected` describes.
    pub async fn watch_copy(
        &self,
        action: impl Future<Output = Result<()>>,
        expected: &str,
        done: impl Fn(Option<&ConfigMap>) -> bool,
    ) -> Result<Duration> {
        let mut stream = pin!(watch_object(self.copy.clone(), CONFIG_MAP));
        let context = || format!("watching {COPY_NAMESPACE}/{CONFIG_MAP}");
        stream.next().await.transpose().with_context(context)?;
        let began = Instant::now();
        action.await?;
        let mut last = "no change".to_owned();
        let end = time::Instant::now() + DEADLINE;
        while let Ok(next) = time::timeout_at(end, stream.next()).await {
            let copy = next.context("the watch ended").and_then(|copy| Ok(copy?));
            let copy = copy.with_context(context)?;
            if done(copy.as_ref()) {
                return Ok(began.elapsed());
            }
            last = copy.map_or("no copy".to_owned(), |copy| format!("{:?}", copy.data));
        }
        bail!("timed out after {DEADLINE:?} waiting for {expected}; last observed: {last}")
    }
}

/// The copy as YAML, without the fields that the API server sets.
pub fn yaml_lines(copy: &ConfigMap) -> Vec<String> {
    let metadata = &copy.metadata;
    let map = |name: &str, map: Option<&BTreeMap<String, String>>| {
        let lines = map.into_iter().flatten().map(|(key, value)| format!("  {key}: {value:?}"));
        std::iter::once(format!("{name}:")).chain(lines).collect::<Vec<_>>()
    };
    let mut lines = vec![
        format!("name: {}", metadata.name.as_deref().unwrap_or_default()),
        format!("namespace: {}", metadata.namespace.as_deref().unwrap_or_default()),
    ];
    lines.extend(map("labels", metadata.labels.as_ref()));
    lines.extend(map("annotations", metadata.annotations.as_ref()));
    lines.extend(map("data", copy.data.as_ref()));
    lines
}

async fn set(api: &Api<ConfigMap>, key: &str, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"data": {key: value}}));
    let edited = api.patch(CONFIG_MAP, &PatchParams::default(), &patch).await;
    edited.with_context(|| format!("setting {key} in {}/{CONFIG_MAP}", api.resource_url()))?;
    Ok(())
}

fn value_of<'a>(object: Option<&'a ConfigMap>, key: &str) -> Option<&'a str> {
    object?.data.as_ref()?.get(key).map(String::as_str)
}
