//! Control planes that fail in parts, and what is recorded of them all the same.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::namespaced_name::NamespacedName;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use serde_json::json;
use testbed::control_plane::ControlPlane;

/// The values that `default/a` has had, in order.
async fn values(recorder: &Recorder) -> Result<Vec<String>> {
    let history = recorder.history().await?;
    let at = NamespacedName::new("default", "a");
    let values = history.of(Kind::ConfigMap, &at).map(|it| it.object["data"]["k"].to_string());
    Ok(values.collect())
}

#[tokio::test]
async fn two_api_servers_show_the_same_and_each_logs_its_own() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let second = control_plane.another_api_server(1).await?;
    let recorder = Recorder::start(second.client()).await?;
    let marks = (control_plane.audit().mark().await?, second.audit().mark().await?);
    let here = Fixture::new(control_plane.client());
    let there = Fixture::new(second.client());

    here.create_config_map("default", "a", &[("k", "1")]).await?;
    there.wait_data("default", "a", &[("k", "1")], SOON).await?;
    control_plane.restart_api_server().await?;
    there.patch_config_map("default", "a", &json!({"data": {"k": "2"}})).await?;
    here.wait_data("default", "a", &[("k", "2")], SOON).await?;
    here.patch_config_map("default", "a", &json!({"data": {"k": "3"}})).await?;
    ensure!(values(&recorder).await? == ["\"1\"", "\"2\"", "\"3\""]);

    let logged =
        [control_plane.audit().since(marks.0).await?, second.audit().since(marks.1).await?];
    let writes = logged.map(|events| {
        let writes = events.iter().filter(|it| it.is_write() && it.name() == "a");
        writes.map(|it| it.verb.clone()).collect::<Vec<_>>()
    });
    ensure!(writes == [vec!["create", "patch"], vec!["patch"]], "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn a_restart_of_etcd_leaves_the_history_whole() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let recorder = Recorder::start(control_plane.client()).await?;
    let fixture = Fixture::new(control_plane.client());
    fixture.create_config_map("default", "a", &[("k", "0")]).await?;
    for value in ["1", "2"] {
        control_plane.restart_etcd().await?;
        fixture.patch_config_map("default", "a", &json!({"data": {"k": value}})).await?;
    }
    ensure!(values(&recorder).await? == ["\"0\"", "\"1\"", "\"2\""]);

    control_plane.etcd().freeze()?;
    let patch = json!({"data": {"k": "3"}});
    let frozen = fixture.patch_config_map("default", "a", &patch);
    let frozen = tokio::time::timeout(std::time::Duration::from_millis(500), frozen).await;
    control_plane.etcd().thaw()?;
    ensure!(frozen.is_err(), "frozen, it answered");
    fixture.config_map("default", "a").await?.context("it is gone")?;
    Ok(())
}
