//! What happens.

use std::collections::BTreeMap;

use anyhow::Result;
use configmapsync::api::ConflictPolicy;
use harness::fixture::SOON;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use crate::support::crash::scenario::RunNamespaces;
use crate::support::crash::scenario::Scenario;

/// A sync is created.
pub struct Create;

impl Scenario for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_namespaces(&["central", "app"]).await?;
        place.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.create_sync(place.spec()).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_synced().await
    }
}

/// The source is edited.
pub struct Update;

impl Scenario for Update {
    fn name(&self) -> &'static str {
        "update"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_synced_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        let edit = json!({"data": {"a": "edited"}});
        place.fixture.patch_config_map(&place.namespace("central"), "shared", &edit).await?;
        Ok(())
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_copy("app", "edited").await?;
        place.wait_source_told().await
    }
}

/// The copy is edited.
pub struct Drift;

impl Scenario for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_synced_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        let edit = json!({"data": {"a": "edited"}});
        place.fixture.patch_config_map(&place.namespace("app"), "shared", &edit).await?;
        Ok(())
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_copy("app", "1").await?;
        place.wait_write_told().await
    }
}

/// The sync gets another destination.
pub struct Move;

impl Scenario for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_synced_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        let elsewhere = place.namespace("elsewhere");
        place.patch_sync(&json!({"spec": {"destinationNamespace": elsewhere}})).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_copy("elsewhere", "1").await?;
        place.wait_no_copy("app").await?;
        place.wait_synced().await
    }
}

/// The sync is deleted.
pub struct Delete;

impl Scenario for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_synced_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.fixture.delete_sync(&place.namespace("central"), "sync").await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.fixture.wait_no_sync(&place.namespace("central"), "sync", SOON).await?;
        place.wait_no_copy("app").await
    }
}

/// The sync gets another source, and both are immutable: the copy has to be replaced.
pub struct Replace;

impl Scenario for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_namespaces(&["central", "app"]).await?;
        place.create_immutable("central", "shared", "1").await?;
        place.create_immutable("central", "other", "another").await?;
        let mut spec = place.spec();
        spec.destination_name = Some("shared".to_owned());
        place.create_sync(spec).await?;
        place.wait_synced().await?;
        place.wait_next_second().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.patch_sync(&json!({"spec": {"configMapName": "other"}})).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_copy("app", "another").await?;
        place.wait_synced().await
    }
}

/// Somebody takes the marks off the copy, and somebody else changes what the sync asks for: an
/// operator that has not heard of the first must not write because of the second.
pub struct Taken;

impl Scenario for Taken {
    fn name(&self) -> &'static str {
        "taken"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.one_suspended_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.take_copy().await?;
        place.patch_sync(&json!({"spec": {"deletionPolicy": "Retain", "suspend": false}})).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        let (namespace, fixture) = (place.namespace("central"), &place.fixture);
        fixture.wait_reason(&namespace, "sync", "Conflict", SOON).await?;
        place.wait_copy("app", "taken").await
    }
}

/// Somebody takes the marks off the copy, and the sync is deleted: the copy stays.
pub struct TakenAndDeleted;

impl Scenario for TakenAndDeleted {
    fn name(&self) -> &'static str {
        "taken and deleted"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.one_suspended_copy().await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.take_copy().await?;
        place.fixture.delete_sync(&place.namespace("central"), "sync").await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.fixture.wait_no_sync(&place.namespace("central"), "sync", SOON).await?;
        place.wait_copy("app", "taken").await
    }
}

/// A sync that selects three namespaces is created.
pub struct Select;

impl Scenario for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_namespaces(&["central"]).await?;
        place.create_selected(&["one", "two", "three"]).await?;
        place.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        let mut spec = place.spec();
        spec.destination_namespace = None;
        spec.destination_namespace_selector = Some(LabelSelector {
            match_labels: Some(BTreeMap::from([place.selected()])),
            ..LabelSelector::default()
        });
        place.create_sync(spec).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_synced().await
    }
}

/// A sync is created that may not take over what stands at its destination.
pub struct Refuse;

impl Scenario for Refuse {
    fn name(&self) -> &'static str {
        "refuse"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_namespaces(&["central", "app"]).await?;
        place.create_config_map("app", "shared", "theirs").await?;
        place.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        place.create_sync(place.spec()).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        let (namespace, fixture) = (place.namespace("central"), &place.fixture);
        fixture.wait_reason(&namespace, "sync", "Conflict", SOON).await?;
        place.wait_copy("app", "theirs").await
    }
}

/// A sync is created that may take over what stands at its destination: somebody's clone of a
/// copy, marks and all.
pub struct Adopt;

impl Scenario for Adopt {
    fn name(&self) -> &'static str {
        "adopt"
    }

    async fn set_up(&self, place: &RunNamespaces) -> Result<()> {
        place.create_namespaces(&["central", "app"]).await?;
        place.create_config_map("app", "shared", "theirs").await?;
        place.mark_as_clone("app", "shared").await?;
        place.create_config_map("central", "shared", "1").await
    }

    async fn trigger(&self, place: &RunNamespaces) -> Result<()> {
        let mut spec = place.spec();
        spec.conflict_policy = ConflictPolicy::Adopt;
        place.create_sync(spec).await
    }

    async fn end(&self, place: &RunNamespaces) -> Result<()> {
        place.wait_synced().await
    }
}
