//! Waiting for the programs of a control plane.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::Client;

use crate::control_plane::programs::Programs;
use crate::ports::free_port;
use crate::process::Process;
use crate::wait::Seen;
use crate::wait::until;

const PORT_TAKEN: &str = "address already in use";
/// Generous, for machines under load; usually a few seconds suffice.
const START: Duration = Duration::from_mins(2);

/// Starts the API server on a free port, and returns once it listens.
pub(super) async fn start_api_server(programs: &Programs, number: usize) -> Result<(Process, u16)> {
    let mut last = None;
    for _ in 0..10 {
        let port = match programs.settings.port {
            Some(port) => port,
            None => free_port(programs.settings.address)?,
        };
        let process = programs.api_server(number, port)?.start()?;
        match wait_listening(&process).await {
            Ok(()) => return Ok((process, port)),
            Err(error) if process.tail(20).contains(PORT_TAKEN) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.context("no attempt was made")?)
        .context("no free port for the API server after 10 attempts")
}

async fn wait_listening(api_server: &Process) -> Result<()> {
    let what = "kube-apiserver listens";
    until(what, START, || async {
        api_server.expect_running()?;
        let log = fs::read_to_string(api_server.log()).unwrap_or_default();
        Ok(Seen::from_bool(log.contains("Serving securely on"), || api_server.tail(5)))
    })
    .await
}

pub(super) async fn wait_ready(
    client: &Client,
    etcd: &Process,
    api_server: &Process,
) -> Result<()> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
    until("kube-apiserver is ready", START, || async {
        etcd.expect_running()?;
        api_server.expect_running()?;
        let request = Request::get("/readyz?verbose").body(Vec::new())?;
        let ready = client.request_text(request).await;
        // It connects to etcd once per kind, and reports ready before the last connection.
        let answer = maps.get_opt("anything").await;
        Ok(match ready.and(answer) {
            Ok(_) => Seen::Done(()),
            Err(error) => {
                Seen::NotYet(format!("{error}; the end of its log:\n{}", api_server.tail(5)))
            }
        })
    })
    .await
}

/// Waits for the ServiceAccount `default`, which the controllers create first.
pub(super) async fn wait_controllers(client: &Client, controller_manager: &Process) -> Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    until("kube-controller-manager works", START, || async {
        controller_manager.expect_running()?;
        let account = accounts.get_opt("default").await?;
        Ok(Seen::from_option(account.map(drop), || {
            format!(
                "no ServiceAccount default; the end of its log:\n{}",
                controller_manager.tail(5)
            )
        }))
    })
    .await
}
