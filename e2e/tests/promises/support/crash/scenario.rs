//! A scenario, and the namespaces of one of its runs.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::names;
use harness::fault_proxy::Request;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::conditions::ready;

/// A change, and how the operator reacts to it.
pub trait Scenario {
    /// The name in the output.
    fn name(&self) -> &'static str;
    /// Creates the objects that exist before the change, and waits until they are in sync.
    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()>;
    /// Makes the change, if possible by one request, so that the operator cannot observe half of
    /// it.
    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()>;
    /// Waits until the operator has reacted as it should.
    async fn end(&self, namespaces: &RunNamespaces) -> Result<()>;
    /// Whether faults of `request` are of interest. The others are those of another scenario.
    fn is_tested(&self, _request: &Request) -> bool {
        true
    }
}

/// The namespaces of one run, which no other run uses.
pub struct RunNamespaces {
    pub fixture: Fixture,
    /// The prefix of their names.
    pub prefix: String,
}

impl RunNamespaces {
    /// The full name of a namespace.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether the namespace belongs to this run.
    pub fn holds(&self, namespace: &str) -> bool {
        namespace.starts_with(&self.prefix)
    }

    pub async fn create_namespaces(&self, names: &[&str]) -> Result<()> {
        let names: Vec<_> = names.iter().map(|name| self.namespace(name)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        self.fixture.create_namespaces(&names).await
    }

    /// The label of the selected namespaces.
    pub fn selected(&self) -> (String, String) {
        ("selected-in".to_owned(), self.prefix.trim_end_matches('-').to_owned())
    }

    /// Creates namespaces that have the label of selected ones from the start.
    pub async fn create_selected(&self, names: &[&str]) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.fixture.client());
        for name in names {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(self.namespace(name));
            namespace.metadata.labels = Some(BTreeMap::from([self.selected()]));
            namespaces.create(&PostParams::default(), &namespace).await?;
        }
        Ok(())
    }

    pub async fn create_config_map(&self, namespace: &str, name: &str, data: &str) -> Result<()> {
        let namespace = self.namespace(namespace);
        self.fixture.create_config_map(&namespace, name, &[("a", data), ("b", "2")]).await?;
        Ok(())
    }

    pub async fn create_immutable(&self, namespace: &str, name: &str, data: &str) -> Result<()> {
        let object = serde_json::from_value(json!({
            "metadata": {"name": name},
            "immutable": true,
            "data": {"a": data, "b": "2"},
        }))?;
        let maps = Api::<ConfigMap>::namespaced(self.fixture.client(), &self.namespace(namespace));
        maps.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// A spec that copies `central/shared` to `app`.
    pub fn spec(&self) -> ConfigMapSyncSpec {
        one_to_one(&self.namespace("central"), "shared", &self.namespace("app"))
    }

    pub async fn create_sync(&self, spec: ConfigMapSyncSpec) -> Result<()> {
        self.fixture.create_sync(&self.namespace("central"), "sync", spec).await?;
        Ok(())
    }

    pub async fn patch_sync(&self, patch: &Value) -> Result<()> {
        self.fixture.patch_sync(&self.namespace("central"), "sync", patch).await?;
        Ok(())
    }

    /// Edits the copy and removes the marker that proves it a copy, as a user does who takes it
    /// over. The other markers stay, so that a patch by an operator with an old state would
    /// succeed.
    pub async fn remove_marker(&self) -> Result<()> {
        let annotations = json!({(names::ANNOTATION_COPY): null});
        let patch = json!({"metadata": {"annotations": annotations}, "data": {"a": "taken"}});
        self.fixture.patch_config_map(&self.namespace("app"), "shared", &patch).await?;
        Ok(())
    }

    /// Gives a `ConfigMap` the markers of a clone of a copy in another namespace.
    pub async fn mark_as_clone(&self, namespace: &str, name: &str) -> Result<()> {
        let markers = json!({"metadata": {
            "labels": {(names::LABEL_SYNC_UID): "another"},
            "annotations": {
                (names::ANNOTATION_SYNC): "another/sync",
                (names::ANNOTATION_COPY): "another/shared",
                (names::ANNOTATION_CREATED): "true",
            },
        }});
        self.fixture.patch_config_map(&self.namespace(namespace), name, &markers).await?;
        Ok(())
    }

    pub async fn wait_synced(&self) -> Result<()> {
        self.fixture.wait_reason(&self.namespace("central"), "sync", "Synced", SOON).await?;
        Ok(())
    }

    pub async fn wait_copy(&self, namespace: &str, data: &str) -> Result<()> {
        let namespace = self.namespace(namespace);
        let data = [("a", data), ("b", "2")];
        self.fixture.wait_data(&namespace, "shared", &data, SOON).await?;
        Ok(())
    }

    pub async fn wait_no_copy(&self, namespace: &str) -> Result<()> {
        self.fixture.wait_no_config_map(&self.namespace(namespace), "shared", SOON).await
    }

    /// Waits until the status names the current version of the source.
    pub async fn wait_source_reported(&self) -> Result<()> {
        let namespace = self.namespace("central");
        let source = self.fixture.config_map(&namespace, "shared").await?.context("no source")?;
        self.fixture.wait_source_version(&namespace, "sync", &source, SOON).await
    }

    /// Waits until `lastSyncTime` is a later second than that in which the ConfigMapSync became
    /// Ready.
    pub async fn wait_write_reported(&self) -> Result<()> {
        let is_reported = |sync: &ConfigMapSync| {
            let last = sync.status.as_ref().and_then(|status| status.last_sync_time.as_ref());
            let since = ready(sync).map(|ready| &ready.last_transition_time);
            last.zip(since).is_some_and(|(last, since)| last.0 > since.0)
        };
        let (namespace, what) = (self.namespace("central"), "the status reports another write");
        self.fixture.wait_sync(&namespace, "sync", what, SOON, is_reported).await?;
        Ok(())
    }

    /// Creates a source and a ConfigMapSync, and waits for the copy.
    pub async fn create_synced_copy(&self) -> Result<()> {
        self.create_namespaces(&["central", "app", "elsewhere"]).await?;
        self.create_config_map("central", "shared", "1").await?;
        self.create_sync(self.spec()).await?;
        self.wait_synced().await?;
        self.wait_next_second().await
    }

    /// As [`RunNamespaces::create_synced_copy`], with a suspended ConfigMapSync: whether the
    /// operator observes two changes together or one by one, it reacts in the same way.
    pub async fn create_suspended_copy(&self) -> Result<()> {
        self.create_synced_copy().await?;
        self.patch_sync(&json!({"spec": {"suspend": true}})).await?;
        let namespace = self.namespace("central");
        self.fixture.wait_reason(&namespace, "sync", "Suspended", SOON).await?;
        Ok(())
    }

    /// Waits until the second of `lastSyncTime` is over. A further write in that second would not
    /// change the status, so that the run would lack a request.
    pub async fn wait_next_second(&self) -> Result<()> {
        let sync = self.fixture.sync(&self.namespace("central"), "sync").await?;
        let last = sync.and_then(|sync| sync.status).and_then(|status| status.last_sync_time);
        let last = last.map(|time| time.0).unwrap_or_default();
        until("the second of the last write is over", SOON, || async {
            let now = Timestamp::now();
            Ok(Seen::from_bool(now.as_second() > last.as_second(), || now.to_string()))
        })
        .await
    }
}
