//! The scenarios: one change each.

use std::collections::BTreeMap;

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::ConflictPolicy;
use harness::fault_proxy::Request;
use harness::fixture::SOON;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use crate::support::crash::fault_case::reviewed;
use crate::support::crash::scenario::RunNamespaces;
use crate::support::crash::scenario::Scenario;

/// A ConfigMapSync is created.
pub struct Create;

impl Scenario for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_namespaces(&["central", "app"]).await?;
        namespaces.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_sync(namespaces.spec()).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_synced().await
    }
}

/// A ConfigMapSync with a ServiceAccount is created.
pub struct CreateByAccount;

impl Scenario for CreateByAccount {
    fn name(&self) -> &'static str {
        "create with a ServiceAccount"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        Create.set_up(namespaces).await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let service_account_name = Some("copier".to_owned());
        let spec = ConfigMapSyncSpec { service_account_name, ..namespaces.spec() };
        namespaces.create_sync(spec).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_synced().await
    }

    fn is_tested(&self, request: &Request) -> bool {
        reviewed(request).is_some()
    }
}

/// The source is edited.
pub struct Update;

impl Scenario for Update {
    fn name(&self) -> &'static str {
        "update"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_synced_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let edit = json!({"data": {"a": "edited"}});
        namespaces
            .fixture
            .patch_config_map(&namespaces.namespace("central"), "shared", &edit)
            .await?;
        Ok(())
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_copy("app", "edited").await?;
        namespaces.wait_source_reported().await
    }
}

/// The copy is edited.
pub struct Drift;

impl Scenario for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_synced_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let edit = json!({"data": {"a": "edited"}});
        namespaces.fixture.patch_config_map(&namespaces.namespace("app"), "shared", &edit).await?;
        Ok(())
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_copy("app", "1").await?;
        namespaces.wait_write_reported().await
    }
}

/// The ConfigMapSync gets another destination.
pub struct Move;

impl Scenario for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_synced_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let elsewhere = namespaces.namespace("elsewhere");
        namespaces.patch_sync(&json!({"spec": {"destinationNamespace": elsewhere}})).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_copy("elsewhere", "1").await?;
        namespaces.wait_no_copy("app").await?;
        namespaces.wait_synced().await
    }
}

/// The ConfigMapSync is deleted.
pub struct Delete;

impl Scenario for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_synced_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.fixture.delete_sync(&namespaces.namespace("central"), "sync").await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.fixture.wait_no_sync(&namespaces.namespace("central"), "sync", SOON).await?;
        namespaces.wait_no_copy("app").await
    }
}

/// The ConfigMapSync gets another source. Both sources are immutable, so the copy must be replaced.
pub struct Replace;

impl Scenario for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_namespaces(&["central", "app"]).await?;
        namespaces.create_immutable("central", "shared", "1").await?;
        namespaces.create_immutable("central", "other", "another").await?;
        let mut spec = namespaces.spec();
        spec.destination_name = Some("shared".to_owned());
        namespaces.create_sync(spec).await?;
        namespaces.wait_synced().await?;
        namespaces.wait_next_second().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.patch_sync(&json!({"spec": {"configMapName": "other"}})).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_copy("app", "another").await?;
        namespaces.wait_synced().await
    }
}

/// A user removes the marker of the copy, and another one edits the ConfigMapSync. An operator that
/// has not received the first change must not write because of the second.
pub struct RemoveMarker;

impl Scenario for RemoveMarker {
    fn name(&self) -> &'static str {
        "remove marker"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_suspended_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.remove_marker().await?;
        namespaces
            .patch_sync(&json!({"spec": {"deletionPolicy": "Retain", "suspend": false}}))
            .await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        let (namespace, fixture) = (namespaces.namespace("central"), &namespaces.fixture);
        fixture.wait_reason(&namespace, "sync", "Conflict", SOON).await?;
        namespaces.wait_copy("app", "taken").await
    }
}

/// A user removes the marker of the copy, and the ConfigMapSync is deleted: the copy stays.
pub struct RemoveMarkerAndDelete;

impl Scenario for RemoveMarkerAndDelete {
    fn name(&self) -> &'static str {
        "remove marker and delete"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_suspended_copy().await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.remove_marker().await?;
        namespaces.fixture.delete_sync(&namespaces.namespace("central"), "sync").await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.fixture.wait_no_sync(&namespaces.namespace("central"), "sync", SOON).await?;
        namespaces.wait_copy("app", "taken").await
    }
}

/// A ConfigMapSync that selects three namespaces is created.
pub struct Select;

impl Scenario for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_namespaces(&["central"]).await?;
        namespaces.create_selected(&["one", "two", "three"]).await?;
        namespaces.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let mut spec = namespaces.spec();
        spec.destination_namespace = None;
        spec.destination_namespace_selector = Some(LabelSelector {
            match_labels: Some(BTreeMap::from([namespaces.selected()])),
            ..LabelSelector::default()
        });
        namespaces.create_sync(spec).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_synced().await
    }
}

/// A ConfigMapSync is created whose destination is a foreign ConfigMap.
pub struct Conflict;

impl Scenario for Conflict {
    fn name(&self) -> &'static str {
        "conflict"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_namespaces(&["central", "app"]).await?;
        namespaces.create_config_map("app", "shared", "theirs").await?;
        namespaces.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_sync(namespaces.spec()).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        let (namespace, fixture) = (namespaces.namespace("central"), &namespaces.fixture);
        fixture.wait_reason(&namespace, "sync", "Conflict", SOON).await?;
        namespaces.wait_copy("app", "theirs").await
    }
}

/// A ConfigMapSync with `conflictPolicy: Adopt` is created whose destination is a clone of a copy,
/// with its markers.
pub struct Adopt;

impl Scenario for Adopt {
    fn name(&self) -> &'static str {
        "adopt"
    }

    async fn set_up(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.create_namespaces(&["central", "app"]).await?;
        namespaces.create_config_map("app", "shared", "theirs").await?;
        namespaces.mark_as_clone("app", "shared").await?;
        namespaces.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, namespaces: &RunNamespaces) -> Result<()> {
        let mut spec = namespaces.spec();
        spec.conflict_policy = ConflictPolicy::Adopt;
        namespaces.create_sync(spec).await
    }

    async fn end(&self, namespaces: &RunNamespaces) -> Result<()> {
        namespaces.wait_synced().await
    }
}
