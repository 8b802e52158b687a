//! Each alert of `chart/files/alerts.yaml` fires for its fault once that has lasted long enough, and no
//! other fires with it. Evaluated by `promtool` (Debian's package prometheus).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::Context;
use anyhow::Result;
use testbed::command;
use testbed::debian;
use testbed::repository;
use testbed::run_folder::RunFolder;
use tokio::process::Command;

/// The series of an operator without a fault: a value per minute, in the notation of promtool.
const HEALTHY: [(&str, &str); 16] = [
    (r#"leader_election_master_status{name="configmapsync",pod="a"}"#, "1x60"),
    (r#"leader_election_master_status{name="configmapsync",pod="b"}"#, "0x60"),
    (r#"configmapsync_fence{state="enforced",pod="a"}"#, "1x60"),
    (r#"configmapsync_fence{state="absent",pod="a"}"#, "0x60"),
    (r#"configmapsync_fence{state="refused",pod="b"}"#, "0x60"),
    (r#"configmapsync_lease_failures_total{reason="timeout",pod="a"}"#, "0x60"),
    (r#"configmapsync_syncs{reason="Synced",pod="a"}"#, "7x60"),
    (r#"configmapsync_syncs{reason="Suspended",pod="a"}"#, "1x60"),
    (r#"configmapsync_syncs{reason="Deleting",pod="a"}"#, "1x60"),
    (r#"configmapsync_syncs{reason="Forbidden",pod="a"}"#, "0x60"),
    (r#"configmapsync_writes_total{action="update",result="error",pod="a"}"#, "0x60"),
    (r#"configmapsync_sweep_held{pod="a"}"#, "0x60"),
    (r#"controller_runtime_reconcile_errors_total{controller="configmapsync",pod="a"}"#, "0x60"),
    (r#"workqueue_depth{name="configmapsync",pod="a"}"#, "3x60"),
    (r#"configmapsync_watch_age_seconds{resource="configmaps",pod="a"}"#, "40x60"),
    (r#"configmapsync_oldest_reconcile_seconds{pod="a"}"#, "0x60"),
];

/// An alert, the start of the name of the series that changes, its values, the labels of the alert, and
/// the minute from which on it fires.
type Fault = (&'static str, &'static str, &'static str, &'static str, u32);

/// The faults begin in minute 10.
const FAULTS: [Fault; 11] = [
    (
        "NoLeader",
        r#"leader_election_master_status{name="configmapsync",pod="a""#,
        "1x9 0x50",
        "",
        11,
    ),
    (
        "SeveralLeaders",
        r#"leader_election_master_status{name="configmapsync",pod="b""#,
        "0x9 1x50",
        "",
        11,
    ),
    ("FenceNotActive", r#"configmapsync_fence{state="absent""#, "0x9 1x50", "", 20),
    ("LeaseFails", "configmapsync_lease_failures", "0x9 0+4x50", r#"reason="timeout""#, 18),
    (
        "NotReady",
        r#"configmapsync_syncs{reason="Forbidden""#,
        "0x9 2x50",
        r#"reason="Forbidden""#,
        25,
    ),
    ("WritesFail", "configmapsync_writes", "0x9 0+1x50", r#"action="update""#, 21),
    ("OrphanCollectionHeld", "configmapsync_sweep_held", "0x9 40x50", "", 15),
    ("ReconcilesFail", "controller_runtime_reconcile_errors", "0x9 0+1x50", "", 21),
    ("QueueGrows", "workqueue_depth", "3x9 2000x50", "", 20),
    ("WatchSilent", "configmapsync_watch_age", "40x9 400+60x50", r#"resource="configmaps""#, 15),
    ("ReconcileDoesNotEnd", "configmapsync_oldest_reconcile", "0x9 700+60x50", "", 15),
];

#[tokio::test]
async fn each_alert_fires_for_its_fault_alone() -> Result<()> {
    let healthy: BTreeMap<_, _> = HEALTHY.into_iter().collect();
    let mut tests = test_of("no fault", &healthy, &[(59, None)]);
    for (alert, series, values, labels, minute) in FAULTS {
        let mut faulty = healthy.clone();
        let changed = faulty.iter_mut().find(|(name, _)| name.starts_with(series));
        *changed.with_context(|| format!("no series begins with {series}"))?.1 = values;
        let fires = format!(r#"alertname="ConfigMapSync{alert}",{labels}"#);
        let expected = [(minute - 1, None), (minute, Some(fires.trim_end_matches(',')))];
        tests += &test_of(alert, &faulty, &expected);
    }
    let nothing_scraped = [(2, Some(r#"alertname="ConfigMapSyncNoLeader""#))];
    tests += &test_of("nothing is scraped", &BTreeMap::new(), &nothing_scraped);

    let rules = repository::root().join("chart/files/alerts.yaml");
    let folder = RunFolder::create()?;
    let file = folder.path().join("tests.yaml");
    let head = format!("rule_files: [{}]\nevaluation_interval: 1m\ntests:\n", rules.display());
    fs::write(&file, head + &tests)?;
    debian::ensure_prometheus().await?;
    command::run(Command::new("promtool").args(["test", "rules"]).arg(&file)).await?;
    Ok(())
}

/// A test of promtool: with these `series`, the alert with these labels, or none, fires in each of these
/// minutes.
fn test_of(name: &str, series: &BTreeMap<&str, &str>, expected: &[(u32, Option<&str>)]) -> String {
    let mut text = format!("- name: {name}\n  interval: 1m\n  input_series:\n");
    // Writing to a String cannot fail.
    for (series, values) in series {
        let _ = writeln!(text, "  - {{series: '{series}', values: '{values}'}}");
    }
    text += "  promql_expr_test:\n";
    for (minute, alert) in expected {
        let samples = alert.map(|labels| format!("{{labels: '{{{labels}}}', value: 1}}"));
        let _ = writeln!(
            text,
            "  - expr: count by (alertname, reason, action, resource) (ALERTS{{alertstate='firing'}})\n    \
             eval_time: {minute}m\n    exp_samples: [{}]",
            samples.unwrap_or_default()
        );
    }
    text
}
