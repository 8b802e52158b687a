//! Permissions that are revoked.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::support::audit::copy_writes;

/// An answer is used for a minute, and a write takes up to eight seconds.
const REVOKED: Duration = Duration::from_secs(70);

#[tokio::test]
async fn no_new_data_is_copied_after_a_revocation() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central", "tenant", "app", "reader"]).await?;
    fixture.create_config_map("central", "shared", &[("n", "0")]).await?;
    fixture.create_config_map("central", "still", &[("n", "0")]).await?;
    permit(control_plane, "tenant", Some("central"), &["get"]).await?;
    permit(control_plane, "tenant", Some("app"), WRITES).await?;
    for name in ["shared", "still"] {
        fixture.create_sync("tenant", name, by_account("central", name, "app")).await?;
        fixture.wait_reason("tenant", name, "Synced", SOON).await?;
    }
    permit(control_plane, "reader", Some("central"), &["get"]).await?;
    permit(control_plane, "reader", Some("reader"), WRITES).await?;
    fixture.create_sync("reader", "shared", by_account("central", "shared", "reader")).await?;
    fixture.wait_reason("reader", "shared", "Synced", SOON).await?;
    let mark = cluster.audit().mark().await?;
    // Another verb remains, so that the Role is known to have changed.
    permit(control_plane, "tenant", Some("app"), &["create"]).await?;
    permit(control_plane, "reader", Some("central"), &["list"]).await?;
    let (revoked, revoked_at) = (Instant::now(), Timestamp::now());

    let mut number = 0;
    until("the source was edited for long enough", REVOKED * 3, || {
        number += 1;
        let edit = json!({"data": {"n": number.to_string()}});
        let fixture = &fixture;
        async move {
            fixture.patch_config_map("central", "shared", &edit).await?;
            let elapsed = revoked.elapsed();
            Ok(Seen::from_bool(elapsed > REVOKED + SOON / 6, || format!("{elapsed:?}")))
        }
    })
    .await?;
    for (namespace, destination) in [("tenant", "app"), ("reader", "reader")] {
        fixture.wait_reason(namespace, "shared", "NotPermitted", SOON).await?;
        let copy = fixture.config_map(destination, "shared").await?;
        let copy = copy.with_context(|| format!("the copy in {destination} was deleted"))?;
        let copied = copy.data.unwrap_or_default()["n"].parse::<u32>()?;
        ensure!(copied < number, "the last edit was copied to {destination}");
    }
    let events = cluster.audit().since(mark).await?;
    let limit = revoked_at + REVOKED;
    let late: Vec<_> = copy_writes(&events)
        .into_iter()
        .filter(|event| event.request_received_timestamp.0 > limit)
        .collect();
    ensure!(late.is_empty(), "{}", lines(&late));
    // Nothing asks about a copy in order.
    fixture.wait_reason("tenant", "still", "Synced", SOON).await?;

    permit(control_plane, "tenant", Some("app"), WRITES).await?;
    fixture.delete_sync("tenant", "shared").await?;
    fixture.wait_no_sync("tenant", "shared", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn clean_up_needs_no_permission() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central", "tenant", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("n", "0")]).await?;
    permit(control_plane, "tenant", Some("central"), &["get"]).await?;
    permit(control_plane, "tenant", Some("app"), WRITES).await?;
    for (name, policy) in [("deleted", "Delete"), ("released", "Retain")] {
        let mut spec = by_account("central", "shared", "app");
        spec.destination_name = Some(name.to_owned());
        fixture.create_sync("tenant", name, spec).await?;
        let patch = json!({"spec": {"deletionPolicy": policy}});
        fixture.patch_sync("tenant", name, &patch).await?;
        fixture.wait_reason("tenant", name, "Synced", SOON).await?;
    }
    permit(control_plane, "tenant", Some("app"), &["list"]).await?;
    // A denial is on record when the ConfigMapSync is deleted.
    for name in ["deleted", "released"] {
        let move_it = json!({"spec": {"destinationNamespace": "central"}});
        fixture.patch_sync("tenant", name, &move_it).await?;
        fixture.wait_reason("tenant", name, "NotPermitted", SOON).await?;
        fixture.delete_sync("tenant", name).await?;
        fixture.wait_no_sync("tenant", name, SOON).await?;
    }
    fixture.wait_no_config_map("app", "deleted", SOON).await?;
    let released = fixture.config_map("app", "released").await?.context("app/released is gone")?;
    let labels = released.metadata.labels.unwrap_or_default();
    ensure!(!labels.contains_key(configmapsync::names::LABEL_SYNC_UID), "{labels:?}");
    Ok(())
}

#[tokio::test]
async fn a_content_that_returns_is_not_reported() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central", "tenant", "owner"]).await?;
    fixture.create_config_map("central", "shared", &[("n", "0")]).await?;
    permit(control_plane, "tenant", Some("central"), &["get"]).await?;
    permit(control_plane, "tenant", Some("tenant"), WRITES).await?;
    fixture.create_sync("tenant", "sync", by_account("central", "shared", "tenant")).await?;
    fixture.create_sync("owner", "sync", one_to_one("central", "shared", "owner")).await?;
    for namespace in ["tenant", "owner"] {
        fixture.wait_reason(namespace, "sync", "Synced", SOON).await?;
    }
    permit(control_plane, "tenant", Some("central"), &["list"]).await?;
    let edit = async |value: &str| -> Result<()> {
        let edit = json!({"data": {"n": value}});
        fixture.patch_config_map("central", "shared", &edit).await?;
        fixture.wait_data("owner", "shared", &[("n", value)], SOON).await?;
        Ok(())
    };
    let revoked = Instant::now();
    let mut number = 0;
    until("a permission from before the revocation is outdated", REVOKED * 2, || {
        number += 1;
        let value = number.to_string();
        let edit = &edit;
        async move {
            edit(&value).await?;
            let elapsed = revoked.elapsed();
            Ok(Seen::from_bool(elapsed > REVOKED, || format!("{elapsed:?}")))
        }
    })
    .await?;
    fixture.wait_reason("tenant", "sync", "NotPermitted", SOON).await?;
    let source = |sync: Option<ConfigMapSync>| sync?.status?.source;
    let reported = source(fixture.sync("tenant", "sync").await?);
    let copied = fixture.config_map("tenant", "shared").await?.and_then(|it| it.data);
    let copied = copied.context("the copy is gone")?["n"].clone();
    edit(&copied).await?;
    fixture.wait_reason("owner", "sync", "Synced", SOON).await?;
    edit("last").await?;
    fixture.wait_reason("tenant", "sync", "NotPermitted", SOON).await?;
    let now = source(fixture.sync("tenant", "sync").await?);
    ensure!(now == reported, "reported {reported:?}, then {now:?}");
    Ok(())
}
