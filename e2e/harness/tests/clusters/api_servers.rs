//! Control planes with partial failures, and what the recorder and the audit logs contain of them.

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

/// The values of `default/a` so far, in order.
async fn values(recorder: &Recorder) -> Result<Vec<String>> {
    let history = recorder.history().await?;
    let at = NamespacedName::new("default", "a");
    let values = history.of(Kind::ConfigMap, &at).map(|it| it.object["data"]["k"].to_string());
    Ok(values.collect())
}

#[tokio::test]
async fn two_api_servers_share_objects_but_not_audit_logs() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let second = control_plane.another_api_server(1).await?;
    let recorder = Recorder::start(second.client()).await?;
    let log_marks = (control_plane.audit().mark().await?, second.audit().mark().await?);
    let first_user = Fixture::new(control_plane.client());
    let second_user = Fixture::new(second.client());

    first_user.create_config_map("default", "a", &[("k", "1")]).await?;
    second_user.wait_data("default", "a", &[("k", "1")], SOON).await?;
    control_plane.restart_api_server().await?;
    second_user.patch_config_map("default", "a", &json!({"data": {"k": "2"}})).await?;
    first_user.wait_data("default", "a", &[("k", "2")], SOON).await?;
    first_user.patch_config_map("default", "a", &json!({"data": {"k": "3"}})).await?;
    ensure!(values(&recorder).await? == ["\"1\"", "\"2\"", "\"3\""]);

    let logged =
        [control_plane.audit().since(log_marks.0).await?, second.audit().since(log_marks.1).await?];
    let writes = logged.map(|events| {
        let writes = events.iter().filter(|it| it.is_write() && it.name() == "a");
        writes.map(|it| it.verb.clone()).collect::<Vec<_>>()
    });
    ensure!(writes == [vec!["create", "patch"], vec!["patch"]], "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn the_history_survives_a_restart_of_etcd() -> Result<()> {
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
    ensure!(frozen.is_err(), "the API server responded to a write while etcd was frozen");
    fixture
        .config_map("default", "a")
        .await?
        .context("default/a does not exist after the freeze")?;
    Ok(())
}
