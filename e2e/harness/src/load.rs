//! Somebody who keeps the operator busy: sources that are edited all the time, each with a copy.

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

/// The namespace of sources and syncs.
pub const SOURCES: &str = "load-sources";
/// The namespace of copies.
pub const COPIES: &str = "load-copies";

/// Edits that go on. Dropped, they end.
pub struct Load {
    fixture: Fixture,
    copies: usize,
    stop: Arc<Notify>,
    editing: JoinHandle<()>,
}

impl Load {
    /// Makes so many sources with a copy each, waits until all is in order, and edits one of them
    /// after the other from then on, with a rest of `pause` between two edits.
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

    /// Ends the edits, and waits until the copies have followed the last of them.
    pub async fn stop(mut self, deadline: Duration) -> Result<()> {
        self.stop.notify_one();
        (&mut self.editing).await.context("the edits failed")?;
        for name in (0..self.copies).map(name) {
            // Asked for: whether an edit that failed was stored is not known.
            let source = self.fixture.config_map(SOURCES, &name).await?.context("no source")?;
            let what = format!("the copy {name} has followed");
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

/// The name of a source, its sync and its copy.
#[must_use]
pub fn name(number: usize) -> String {
    format!("load-{number}")
}

async fn edit(fixture: Fixture, copies: usize, pause: Duration, stop: Arc<Notify>) {
    for (value, number) in (1_u64..).zip((0..copies).cycle()) {
        let data = json!({"data": {"a": value.to_string()}});
        // While it is faulty, the API server may refuse: the next edit makes up for it.
        let _ = fixture.patch_config_map(SOURCES, &name(number), &data).await;
        if timeout(pause, stop.notified()).await.is_ok() {
            return;
        }
    }
}
