//! Real pods: the demo from beginning to end, and a cluster that leaves nothing behind.

mod held;
mod removal;

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::command;
use e2e::demo;
use e2e::demo::Options;
use e2e::node::PAUSE_IMAGE;
use e2e::tools::Tools;
use e2e::wait::Seen;
use e2e::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::api::LogParams;
use kube::api::PostParams;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;

/// One cluster with pods takes all of a small machine, and the demo measures how soon it follows.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn the_demo_shows_the_whole_path() {
    if held::skipped() {
        return;
    }
    let _alone = ALONE.lock().await;
    let report = demo::run(&Options { once: true, ..Options::default() }).await.unwrap();
    assert_eq!(report.pod_security, "restricted");
    assert_eq!(report.leaders.len(), 1, "pods that hold a Lease: {:?}", report.leaders);
    assert!(report.follow < Duration::from_secs(5), "the copy followed after {:?}", report.follow);
    assert!(report.failover < Duration::from_secs(10), "another led after {:?}", report.failover);
    for name in ["reconcile", "observe", "plan", "create copy"] {
        assert!(report.spans.iter().any(|span| span == name), "no {name} in {:?}", report.spans);
    }
    held::assert_nothing_remains(&report.footprint.unwrap());
}

#[tokio::test]
async fn the_operator_goes_and_comes_back_without_losing_or_wedging_anything() {
    if !held::skipped() {
        let _alone = ALONE.lock().await;
        removal::the_operator_goes_and_comes_back().await.unwrap();
    }
}

#[test]
fn nothing_is_left_of_a_cluster_whose_program_is_killed() {
    if held::skipped() {
        return;
    }
    let _alone = ALONE.blocking_lock();
    let mut holder = held::start("holds_a_cluster_with_a_pod").unwrap();
    let seen = holder.footprint.remains().join("\n");
    assert!(seen.contains("pause"), "no container before the end:\n{seen}");
    holder.kill().unwrap();
    held::assert_nothing_remains(&holder.footprint);
}

#[tokio::test]
#[ignore = "the other half of the test above, which starts it in a process of its own"]
async fn holds_a_cluster_with_a_pod() {
    if held::is_holder() {
        let tools = Tools::ensure(&Cluster::TOOLS).await.unwrap();
        let cluster = Cluster::start(&tools).await.unwrap();
        run_pod(&cluster.client()).await.unwrap();
        let mut kubectl = Command::new(tools.path("kubectl").unwrap());
        kubectl.arg("--kubeconfig").arg(cluster.kubeconfig());
        kubectl.args(["exec", "pod", "--", "/pause", "a", "word"]);
        assert_eq!(command::run(&mut kubectl).await.unwrap(), "a word\n");
        held::hold(cluster.sandbox().footprint()).await.unwrap();
    }
}

/// Runs a pod that Pod Security `restricted` would let pass, and reads its log.
async fn run_pod(client: &Client) -> Result<()> {
    let pods = Api::<Pod>::default_namespaced(client.clone());
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "pod"},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "container",
                "image": PAUSE_IMAGE,
                "imagePullPolicy": "Never",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    until("the pod runs, and its log can be read", Duration::from_mins(1), || async {
        let status = pods.get("pod").await?.status.unwrap_or_default();
        if status.phase.as_deref() != Some("Running") {
            return Ok(Seen::NotYet(format!("{status:?}")));
        }
        let log = pods.logs("pod", &LogParams::default()).await?;
        Ok(Seen::from_bool(log == "pausing\n", || format!("the log {log:?}")))
    })
    .await
}
