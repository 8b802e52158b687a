//! Promise: every namespace that the selector selects has a copy, and no other has.

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use e2e::fixture::Fixture;
use e2e::fixture::SOON;
use e2e::world::World;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;

const DATA: [(&str, &str); 1] = [("a", "1")];

/// Copies `central/shared` to every namespace with the label `team=a`.
fn to_team_a() -> ConfigMapSyncSpec {
    let labels = [("team".to_owned(), "a".to_owned())];
    ConfigMapSyncSpec {
        source_namespace: "central".to_owned(),
        config_map_name: "shared".to_owned(),
        destination_namespace_selector: Some(LabelSelector {
            match_labels: Some(labels.into()),
            ..LabelSelector::default()
        }),
        ..ConfigMapSyncSpec::default()
    }
}

/// Gives a namespace to a team, or takes it from all.
async fn give(fixture: &Fixture, namespace: &str, team: Option<&str>) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(fixture.client());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"team": team}}}));
    namespaces.patch(namespace, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn namespaces_join_and_leave_by_their_labels() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "one", "two", "other"]).await?;
    for namespace in ["central", "one", "two"] {
        give(&fixture, namespace, Some("a")).await?;
    }
    let source = fixture.create_config_map("central", "shared", &DATA).await?;
    fixture.create_sync("central", "sync", to_team_a()).await?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copies = sync.status.and_then(|status| status.copies).unwrap_or_default();
    ensure!((copies.desired, copies.ready, copies.failed) == (2, 2, 0), "{copies:?}");
    for namespace in ["one", "two"] {
        fixture.wait_data(namespace, "shared", &DATA, SOON).await?;
    }
    give(&fixture, "other", Some("a")).await?;
    fixture.wait_data("other", "shared", &DATA, SOON).await?;
    give(&fixture, "one", None).await?;
    fixture.wait_no_config_map("one", "shared", SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    for namespace in ["two", "other"] {
        ensure!(fixture.config_map(namespace, "shared").await?.is_none(), "left in {namespace}");
    }
    let left = fixture.config_map("central", "shared").await?;
    ensure!(left.and_then(|it| it.metadata.resource_version) == source.metadata.resource_version);
    Ok(())
}
