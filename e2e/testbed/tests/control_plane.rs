//! Control planes: side by side, restarted, recorded, and gone without a trace.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::audit::lines;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;

/// Command lines that name `folder`: of processes that belong to its run.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|line| line.contains(&*folder))
        .collect()
}

async fn wait_until_nothing_is_left(folder: &Path) -> Result<()> {
    until("nothing is left of the run", Duration::from_secs(20), || async {
        let processes = processes_of(folder);
        let done = processes.is_empty() && !folder.exists();
        Ok(Seen::from_bool(done, || {
            format!("folder exists: {}, processes: {processes:#?}", folder.exists())
        }))
    })
    .await
}

#[tokio::test]
async fn clusters_live_side_by_side_and_leave_nothing() -> Result<()> {
    for _ in 0..2 {
        let (first, second) = tokio::join!(ControlPlane::start(), ControlPlane::start());
        let (first, second) = (first?, second?);
        let folders = [first.folder().to_owned(), second.folder().to_owned()];
        assert_ne!(first.server(), second.server());
        for folder in &folders {
            assert!(processes_of(folder).len() >= 3, "{:?}", processes_of(folder));
        }
        drop(first);
        drop(second);
        for folder in &folders {
            assert_eq!(processes_of(folder), Vec::<String>::new());
            assert!(!folder.exists());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_harness_leaves_nothing() -> Result<()> {
    let mut harness = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut kubeconfig = String::new();
    BufReader::new(harness.stdout.take().context("no standard output")?)
        .read_line(&mut kubeconfig)?;
    let folder = Path::new(kubeconfig.trim()).parent().context("no folder")?.to_owned();
    assert!(processes_of(&folder).len() >= 3, "{:?}", processes_of(&folder));
    harness.kill()?;
    harness.wait()?;
    wait_until_nothing_is_left(&folder).await
}

#[tokio::test]
async fn the_audit_log_records_user_verb_object_and_code() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let api = Api::<ConfigMap>::namespaced(control_plane.client(), "default");
    let before = control_plane.audit().mark().await?;
    let object = serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"k": "v"}}));
    api.create(&PostParams::default(), &object?).await?;
    api.get_metadata("a").await?;
    api.get("a").await?;
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    api.delete("a", &dry_run).await?;
    api.get_opt("b").await?;

    let events = control_plane.audit().since(before).await?;
    let ours: Vec<_> = events.iter().filter(|event| event.user.username == "admin").collect();
    let facts: Vec<_> = ours
        .iter()
        .map(|event| {
            let code = event.response_status.code;
            (event.verb.as_str(), event.name(), code, event.is_write(), event.reads_data())
        })
        .collect();
    let expected = [
        ("create", "a", 201, true, false),
        ("get", "a", 200, false, false),
        ("get", "a", 200, false, true),
        ("delete", "a", 200, false, false),
        ("get", "b", 404, false, false),
    ];
    assert_eq!(facts, expected, "{}", lines(&ours));
    let later = control_plane.audit().mark().await?;
    let after = control_plane.audit().since(later).await?;
    // Controllers and the API server itself send requests at any time.
    let ours: Vec<_> = after.iter().filter(|event| event.user.username == "admin").collect();
    assert!(ours.is_empty(), "{}", lines(&ours));
    Ok(())
}

#[tokio::test]
async fn the_controllers_finish_a_deleted_namespace() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let namespaces = Api::<Namespace>::all(control_plane.client());
    control_plane
        .apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}))
        .await?;
    namespaces.delete("x", &DeleteParams::default()).await?;
    until("the namespace is gone", Duration::from_secs(20), || async {
        let found = namespaces.get_opt("x").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{:?}", found.and_then(|x| x.status))))
    })
    .await
}

#[tokio::test]
async fn an_api_server_comes_back_at_its_address_with_its_objects() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let api = Api::<ConfigMap>::namespaced(control_plane.client(), "default");
    let object = serde_json::from_value(json!({"metadata": {"name": "a"}}));
    api.create(&PostParams::default(), &object?).await?;
    control_plane.api_server().kill()?;
    assert!(control_plane.api_server().terminate().is_err(), "it is gone");
    control_plane.restart_api_server().await?;
    api.get("a").await?;
    Ok(())
}
