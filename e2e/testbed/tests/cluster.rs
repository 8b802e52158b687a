//! A cluster with pods leaves nothing behind.

mod support;

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::api::LogParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::cluster::Cluster;
use testbed::command;
use testbed::node::PAUSE_IMAGE;
use testbed::pod_tests;
use testbed::tools::Tools;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::process::Command;

#[test]
fn nothing_is_left_of_a_cluster_whose_program_is_killed() {
    if pod_tests::are_skipped() {
        return;
    }
    let mut holder = support::start("holds_a_cluster_with_a_pod").unwrap();
    let seen = holder.footprint.remains().join("\n");
    assert!(seen.contains("pause"), "no container before the end:\n{seen}");
    holder.kill().unwrap();
    support::assert_nothing_remains(&holder.footprint);
}

#[tokio::test]
#[ignore = "the other half of the test above, which starts it in a process of its own"]
async fn holds_a_cluster_with_a_pod() {
    if support::is_holder() {
        let tools = Tools::ensure(&Cluster::TOOLS).await.unwrap();
        let cluster = Cluster::start(&tools).await.unwrap();
        run_pod(&cluster.client()).await.unwrap();
        let mut kubectl = Command::new(tools.path("kubectl").unwrap());
        kubectl.arg("--kubeconfig").arg(cluster.kubeconfig());
        kubectl.args(["exec", "pod", "--", "/pause", "a", "word"]);
        assert_eq!(command::run(&mut kubectl).await.unwrap(), "a word\n");
        support::hold(cluster.sandbox().footprint()).await.unwrap();
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
