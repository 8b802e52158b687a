//! The metrics have the names of the documentation and agree with the audit log; the health
//! endpoints of leader and standby respond with 200.

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::requests;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::write_outlived_reconcile;
use crate::support::metrics_page::Metrics;

/// Every series that is exported from the start, apart from the buckets of histograms.
const INITIAL_SERIES: [&str; 34] = [
    r#"controller_runtime_reconcile_total{controller="configmapsync",result="success"}"#,
    r#"controller_runtime_reconcile_total{controller="configmapsync",result="requeue_after"}"#,
    r#"controller_runtime_reconcile_total{controller="configmapsync",result="error"}"#,
    r#"controller_runtime_reconcile_errors_total{controller="configmapsync"}"#,
    r#"controller_runtime_reconcile_time_seconds_count{controller="configmapsync"}"#,
    r#"controller_runtime_active_workers{controller="configmapsync"}"#,
    r#"workqueue_depth{name="configmapsync"}"#,
    r#"workqueue_adds_total{name="configmapsync"}"#,
    r#"workqueue_queue_duration_seconds_count{name="configmapsync"}"#,
    r#"leader_election_master_status{name="configmapsync"}"#,
    r#"configmapsync_writes_total{action="create",result="success"}"#,
    r#"configmapsync_writes_total{action="create",result="error"}"#,
    r#"configmapsync_writes_total{action="update",result="success"}"#,
    r#"configmapsync_writes_total{action="update",result="error"}"#,
    r#"configmapsync_writes_total{action="restamp",result="success"}"#,
    r#"configmapsync_writes_total{action="restamp",result="error"}"#,
    r#"configmapsync_writes_total{action="replace",result="success"}"#,
    r#"configmapsync_writes_total{action="replace",result="error"}"#,
    r#"configmapsync_writes_total{action="release",result="success"}"#,
    r#"configmapsync_writes_total{action="release",result="error"}"#,
    r#"configmapsync_writes_total{action="delete",result="success"}"#,
    r#"configmapsync_writes_total{action="delete",result="error"}"#,
    r#"configmapsync_transitions_total{reason="Synced"}"#,
    r#"configmapsync_transitions_total{reason="Conflict"}"#,
    r#"configmapsync_transitions_total{reason="Forbidden"}"#,
    r#"configmapsync_transitions_total{reason="ApiError"}"#,
    r#"configmapsync_transitions_total{reason="InvalidSpec"}"#,
    r#"configmapsync_transitions_total{reason="SourceNotFound"}"#,
    r#"configmapsync_transitions_total{reason="DestinationNamespaceNotFound"}"#,
    r#"configmapsync_transitions_total{reason="Suspended"}"#,
    "configmapsync_marked_copies",
    r#"configmapsync_swept_total{action="delete"}"#,
    r#"configmapsync_swept_total{action="release"}"#,
    "configmapsync_sweep_held",
];

/// Whether two counts are equal.
fn same(left: f64, right: f64) -> bool {
    (left - right).abs() < 0.5
}

#[tokio::test]
async fn leader_and_standby_are_healthy_and_count_from_zero() -> Result<()> {
    let cluster = OperatorCluster::start(2).await?;
    let leader = cluster.wait_leader().await?;
    for (index, replica) in cluster.replicas.iter().enumerate() {
        let leads = if index == leader { 1.0 } else { 0.0 };
        let pod = &replica.pod().name;
        until(format!("{pod} has leader_election_master_status {leads}"), SOON, || async {
            let metrics = Metrics::of(replica).await?;
            let value = metrics.value("leader_election_master_status", &[])?;
            Ok(Seen::from_bool(same(value, leads), || value.to_string()))
        })
        .await?;

        // A new leader is ready once its lists are complete.
        replica.wait_ready().await?;
        let url = replica.url().await?;
        for path in ["livez", "readyz"] {
            let answer = requests::get(&format!("{url}/{path}")).await?;
            ensure!(answer.status() == 200, "{path}: {answer:?}");
            ensure!(answer.text().await?.trim() == "ok");
        }
        let answer = requests::get(&format!("{url}/metrics")).await?;
        let content_type = answer.headers()["content-type"].to_str()?.to_owned();
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ensure!(content_type == expected, "{content_type}");
        let text = answer.text().await?;
        ensure!(text.ends_with("# EOF\n"), "the page is not OpenMetrics: {text}");
        for series in INITIAL_SERIES {
            let is_leading = series.starts_with("leader_election") && index == leader;
            let line = format!("{series} {}", i32::from(is_leading));
            ensure!(text.lines().any(|it| it == line), "the line {line:?} is not in\n{text}");
        }
    }
    Ok(())
}

/// Creates the source `central/NAME`, and a ConfigMapSync of that name which copies it to `app`.
async fn create_source_and_sync(fixture: &Fixture, name: &str) -> Result<()> {
    fixture.create_config_map("central", name, &[("a", "1")]).await?;
    fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    Ok(())
}

/// The number of the operator's requests that fit.
fn count(events: &[Event], fits: impl Fn(&Event) -> bool) -> f64 {
    requests_by_operator(events).filter(|event| fits(event)).fold(0.0, |sum, _| sum + 1.0)
}

/// Waits until the counters agree with each other, with the audit log, and with the number of
/// copies.
async fn ensure_agreement(cluster: &OperatorCluster, since: Mark, copies: f64) -> Result<()> {
    let replica = &cluster.replicas[0];
    let what = "the operator is idle and its counters agree with the audit log";
    until(what, SOON, || async {
        let metrics = Metrics::of(replica).await?;
        let events = cluster.audit().since(since).await?;
        let ended = metrics.value("controller_runtime_reconcile_time_seconds_count", &[])?;
        let total: f64 = metrics.values("controller_runtime_reconcile_total", &[])?.iter().sum();
        let started = metrics.value("workqueue_queue_duration_seconds_count", &[])?;
        let adds = metrics.value("workqueue_adds_total", &[])?;
        let depth = metrics.value("workqueue_depth", &[])?;
        let workers = metrics.value("controller_runtime_active_workers", &[])?;
        let refused: f64 =
            metrics.values("rest_client_requests_total", &[("code", "403")])?.iter().sum();
        let refused_logged = count(&events, |event| event.response_status.code == 403);
        let posted = [("code", "201"), ("method", "POST")];
        let posted: f64 = metrics.values("rest_client_requests_total", &posted)?.iter().sum();
        let posted_logged = count(&events, |event| event.response_status.code == 201);
        let agree = same(ended, total)
            && same(started, total)
            && adds >= 1.0
            && same(depth, 0.0)
            && same(workers, 0.0)
            && same(refused, refused_logged)
            && posted >= 1.0
            && same(posted, posted_logged)
            // Counted when the watch event arrives, which may be after the response to the write.
            && same(metrics.value("configmapsync_marked_copies", &[])?, copies);
        Ok(Seen::from_bool(agree, || {
            format!(
                "audit log: {refused_logged} times 403, {posted_logged} times 201;\n{}",
                metrics.0
            )
        }))
    })
    .await
}

#[tokio::test]
async fn success_refusal_and_failed_reconcile_are_counted() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let start = cluster.audit().mark().await?;
    cluster.add_replicas(1).await?;
    cluster.wait_leader().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;

    create_source_and_sync(&fixture, "fine").await?;
    fixture.wait_reason("central", "fine", "Synced", SOON).await?;
    ensure_agreement(&cluster, start, 1.0).await?;
    let metrics = Metrics::of(&cluster.replicas[0]).await?;
    ensure!(metrics.reconciles("success")? >= 1.0, "{}", metrics.0);
    ensure!(same(metrics.reconciles("error")? + metrics.reconciles("requeue_after")?, 0.0));
    ensure!(same(metrics.writes("create", "success")?, 1.0), "{}", metrics.0);
    ensure!(same(metrics.transitions("Synced")?, 1.0), "{}", metrics.0);

    permissions::revoke(&cluster.control_plane, "configmaps", &["create"]).await?;
    create_source_and_sync(&fixture, "refused").await?;
    fixture.wait_reason("central", "refused", "Forbidden", SOON).await?;
    permissions::restore(&cluster.control_plane, "configmaps", &["create"]).await?;
    fixture.wait_reason("central", "refused", "Synced", SOON).await?;
    ensure_agreement(&cluster, start, 2.0).await?;
    let metrics = Metrics::of(&cluster.replicas[0]).await?;
    let events = cluster.audit().since(start).await?;
    let refused = count(&events, |event| event.response_status.code == 403);
    ensure!(same(metrics.writes("create", "error")?, refused), "{refused}: {}", metrics.0);
    ensure!(metrics.reconciles("requeue_after")? >= 1.0, "{}", metrics.0);
    let once = same(metrics.transitions("Forbidden")?, 1.0) || write_outlived_reconcile(&cluster);
    ensure!(once, "{}", metrics.0);
    ensure!(same(metrics.transitions("Synced")?, 2.0), "{}", metrics.0);
    ensure!(same(metrics.reconciles("error")?, 0.0), "{}", metrics.0);

    let errors = metrics.value("controller_runtime_reconcile_errors_total", &[])?;
    ensure!(same(errors, 0.0), "a refused copy counts as {errors} failed reconciles");

    permissions::revoke(&cluster.control_plane, "configmapsyncs/status", &["patch"]).await?;
    create_source_and_sync(&fixture, "failed").await?;
    until("a reconcile has failed", SOON, || async {
        let metrics = Metrics::of(&cluster.replicas[0]).await?;
        Ok(Seen::from_bool(metrics.reconciles("error")? >= 1.0, || metrics.0.clone()))
    })
    .await?;
    permissions::restore(&cluster.control_plane, "configmapsyncs/status", &["patch"]).await?;
    fixture.wait_reason("central", "failed", "Synced", SOON).await?;
    ensure_agreement(&cluster, start, 3.0).await?;
    let metrics = Metrics::of(&cluster.replicas[0]).await?;
    let events = cluster.audit().since(start).await?;
    let failed = count(&events, |event| {
        event.response_status.code == 403 && event.resource() == "configmapsyncs"
    });
    ensure!(same(metrics.reconciles("error")?, failed), "{failed}: {}", metrics.0);
    let errors = metrics.value("controller_runtime_reconcile_errors_total", &[])?;
    ensure!(same(errors, failed), "{errors} failed reconciles for {failed} refused status writes");
    fixture.patch_config_map("central", "failed", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "failed", &[("a", "2")], SOON).await?;
    Ok(())
}
