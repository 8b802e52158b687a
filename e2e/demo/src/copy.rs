//! The ConfigMap that is copied, and its copy.

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

/// How long a copy may take; it takes milliseconds as a rule.
const DEADLINE: Duration = Duration::from_secs(30);

/// The source and its copy, in one cluster.
pub struct Pair {
    pub source: Api<ConfigMap>,
    pub copy: Api<ConfigMap>,
}

impl Pair {
    pub fn new(client: &Client) -> Self {
        let api = |namespace| Api::namespaced(client.clone(), namespace);
        Self { source: api(SOURCE_NAMESPACE), copy: api(COPY_NAMESPACE) }
    }

    /// Sets one value in the source; returns after how long the copy had it too.
    pub async fn edit_source(&self, key: &str, value: &str) -> Result<Duration> {
        let edit = set(&self.source, key, value);
        let has = |copy: Option<&ConfigMap>| value_of(copy, key) == Some(value);
        self.watch_copy(edit, &format!("the copy has {key}={value}"), has).await
    }

    /// Sets one value in the copy; returns after how long it was as before.
    pub async fn edit_copy(&self, key: &str, value: &str) -> Result<Duration> {
        let before = self.copy.get(CONFIG_MAP).await.context("reading the copy")?.data;
        let edit = set(&self.copy, key, value);
        // The watch shows the edit itself first.
        let repaired = |copy: Option<&ConfigMap>| copy.is_some_and(|copy| copy.data == before);
        self.watch_copy(edit, &format!("the copy no longer has {key}={value}"), repaired).await
    }

    /// Watches the copy, acts, and returns how long after that the copy was as it should be.
    pub async fn watch_copy(
        &self,
        act: impl Future<Output = Result<()>>,
        what: &str,
        done: impl Fn(Option<&ConfigMap>) -> bool,
    ) -> Result<Duration> {
        let mut stream = pin!(watch_object(self.copy.clone(), CONFIG_MAP));
        let context = || format!("watching {COPY_NAMESPACE}/{CONFIG_MAP}");
        stream.next().await.transpose().with_context(context)?;
        let began = Instant::now();
        act.await?;
        let mut last = "no change".to_owned();
        let end = time::Instant::now() + DEADLINE;
        while let Ok(next) = time::timeout_at(end, stream.next()).await {
            let copy = next.context("the watch ended").and_then(|copy| Ok(copy?));
            let copy = copy.with_context(context)?;
            if done(copy.as_ref()) {
                return Ok(began.elapsed());
            }
            last = copy.map_or("it is gone".to_owned(), |copy| format!("{:?}", copy.data));
        }
        bail!("waited {DEADLINE:?} in vain until {what}; seen instead: {last}")
    }
}

/// The copy as YAML, without what the API server adds for itself.
pub fn drawn(copy: &ConfigMap) -> Vec<String> {
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
    edited.with_context(|| format!("setting {key} in {}", api.resource_url()))?;
    Ok(())
}

fn value_of<'a>(object: Option<&'a ConfigMap>, key: &str) -> Option<&'a str> {
    object?.data.as_ref()?.get(key).map(String::as_str)
}
