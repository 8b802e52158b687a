//! A continuous load on the operator: a task edits several sources in turn, each with one copy.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::Fixture;
use crate::fixture::SOON;
use crate::fixture::one_to_one;

/// The namespace of the sources and the `ConfigMapSync`s.
pub const SOURCES: &str = "load-sources";
/// The namespace of the copies.
pub const COPIES: &str = "load-copies";

/// A task that edits the sources continuously. Dropping this stops the task.
pub struct Load {
    fixture: Fixture,
    copies: usize,
    stop: Arc<Notify>,
    editing: JoinHandle<()>,
}

impl Load {
    /// Creates `copies` sources with one copy each, waits until all are synced, then edits the sources
    /// in turn, with `pause` between two edits.
    pub async fn start(fixture: &Fixture, copies: usize, pause: Duration) -> Result<Self> {
        fixture.create_namespaces(&[SOURCES, COPIES]).await?;
        for number in 0..copies {
            let name = name(number);
            fixture.create_config_map(SOURCES, &name, &[("a", "0")]).await?;
            fixture.create_sync(SOURCES, &name, one_to_one(SOURCES, &name, COPIES)).await?;
        }
        for number in 0..copies {
            fixture.wait_reason(SOURCES, &name(number), "Synced", SOON).await?;
        }
        let stop = Arc::<Notify>::default();
        let editing = tokio::spawn(edit(fixture.clone(), copies, pause, Arc::clone(&stop)));
        Ok(Self { fixture: fixture.clone(), copies, stop, editing })
    }

    /// Stops the edits, and waits until every copy equals its source.
    pub async fn stop(mut self, deadline: Duration) -> Result<()> {
        self.stop.notify_one();
        (&mut self.editing).await.context("waiting for the task that edits the sources")?;
        for name in (0..self.copies).map(name) {
            // Read again: a failed edit may have been stored nevertheless.
            let source = self
                .fixture
                .config_map(SOURCES, &name)
                .await?
                .with_context(|| format!("the source {SOURCES}/{name} does not exist"))?;
            let what = format!("the copy {COPIES}/{name} equals its source");
            let is_equal = |copy: &ConfigMap| copy.data == source.data;
            self.fixture.wait_config_map(COPIES, &name, &what, deadline, is_equal).await?;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.editing.abort();
    }
}

/// The name that a source, its `ConfigMapSync` and its copy share.
#[must_use]
pub fn name(number: usize) -> String {
    format!("load-{number}")
}

async fn edit(fixture: Fixture, copies: usize, pause: Duration, stop: Arc<Notify>) {
    for (value, number) in (1_u64..).zip((0..copies).cycle()) {
        let data = json!({"data": {"a": value.to_string()}});
        // The API server may fail during a fault; the next edit replaces a failed one.
        let _ = fixture.patch_config_map(SOURCES, &name(number), &data).await;
        if timeout(pause, stop.notified()).await.is_ok() {
            return;
        }
    }
}
