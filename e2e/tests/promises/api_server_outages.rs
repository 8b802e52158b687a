//! While etcd refuses writes, the operator considers nothing as written, and continues to retry;
//! afterwards all copies are in sync within a minute.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::liveness;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Mark;
use testbed::control_plane::ControlPlane;
use testbed::control_plane::api_server::ApiServer;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::startup::ensure_not_panicked;

const CONVERGED: Duration = Duration::from_mins(1);
/// A refused write is tried again within this time: sooner than the leader loses its Lease, which it
/// cannot renew.
const RETRIED: Duration = Duration::from_secs(30);
/// How long etcd refuses writes after that.
const FULL: Duration = Duration::from_secs(5);

/// A replica behind the fault proxy, with a long Lease, and another API server, by which users edit
/// objects and by which the history is recorded.
struct Cluster {
    replica: Replica,
    proxy: FaultProxy,
    recorder: Recorder,
    mark: Mark,
    fixture: Fixture,
    _other: ApiServer,
    operator: OperatorCluster,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let operator = OperatorCluster::start(0).await?;
        let other = operator.control_plane.another_api_server(1).await?;
        let recorder = Recorder::start(other.client()).await?;
        let mark = operator.audit().mark().await?;
        let proxy = FaultProxy::start(&operator.control_plane)?;
        let options = Options { server: Some(proxy.url()), ..Options::patient() };
        let replica = Replica::start(&operator.control_plane, OPERATOR, &options).await?;
        replica.wait_ready().await?;
        let fixture = Fixture::new(other.client());
        fixture.create_synced_copy(&[("a", "1")]).await?;
        for name in ["edited", "deleted"] {
            fixture.create_config_map("central", name, &[("a", "1")]).await?;
            fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
            fixture.wait_reason("central", name, "Synced", SOON).await?;
        }
        Ok(Self { replica, proxy, recorder, mark, fixture, _other: other, operator })
    }

    /// Changes a source, a copy, and the set of ConfigMapSyncs.
    async fn change_everything(&self, value: &str) -> Result<()> {
        let fixture = &self.fixture;
        let edit = json!({"data": {"a": value}});
        fixture.patch_config_map("central", "shared", &edit).await?;
        fixture.patch_config_map("app", "edited", &json!({"data": {"a": "theirs"}})).await?;
        fixture.delete_sync("central", "deleted").await?;
        fixture.create_config_map("central", value, &[("a", "1")]).await?;
        fixture.create_sync("central", value, one_to_one("central", value, "app")).await?;
        Ok(())
    }

    /// Waits until all is in sync, and runs the oracles. Fails unless the same process leads.
    async fn finish(&self) -> Result<()> {
        liveness::converged(&self.recorder, CONVERGED).await?;
        self.replica.process().expect_running().context("the leader should be running")?;
        ensure_not_panicked(&self.replica)?;
        let history = self.recorder.history().await?;
        oracle::ensure_all(&history, &self.operator.audit().since(self.mark).await?)
    }
}

/// Activates or deactivates etcd's alarm that its disk is full: it refuses writes meanwhile.
async fn set_alarm(control_plane: &ControlPlane, action: &str) -> Result<()> {
    let socket = control_plane.folder().join("etcd.sock");
    let alarm = json!({"action": action, "alarm": "NOSPACE", "memberID": "0"});
    let response = post_to_etcd(&socket, "maintenance/alarm", &alarm).await?;
    ensure!(response["alarms"].is_array(), "{response}");
    Ok(())
}

async fn post_to_etcd(socket: &Path, path: &str, body: &Value) -> Result<Value> {
    let client = reqwest::Client::builder().unix_socket(socket).build()?;
    let response = client.post(format!("http://localhost/v3/{path}")).json(body).send().await;
    let response = response.with_context(|| format!("sending {body} to etcd"))?;
    Ok(response.json().await?)
}

#[tokio::test]
async fn a_full_etcd_leaves_nothing_half_done() -> Result<()> {
    let cluster = Cluster::start().await?;
    // Edits are possible before the alarm only, and the operator reacts to them during the alarm.
    let process = cluster.replica.process();
    process.freeze()?;
    cluster.change_everything("new").await?;
    set_alarm(&cluster.operator.control_plane, "ACTIVATE").await?;
    let start = cluster.proxy.count();
    process.thaw()?;
    // etcd still deletes.
    let is_copy = |it: &Request| {
        [Method::POST, Method::PATCH].contains(&it.method) && it.namespace() == "app"
    };
    until("the operator has tried again to write copies", RETRIED, || async {
        let tries = cluster.proxy.requests_where(start, is_copy);
        let refused = tries.iter().filter(|it| it.status.is_some_and(|it| it >= 400)).count();
        Ok(Seen::from_bool(refused >= 3, || format!("{tries:?}")))
    })
    .await?;
    stays("etcd is full", FULL, || async { Ok(Seen::Done(())) }).await?;
    let tries = cluster.proxy.requests_where(start, is_copy);
    let written: Vec<_> = tries.iter().filter(|it| it.status.is_some_and(|it| it < 300)).collect();
    ensure!(written.is_empty(), "written in spite of the alarm: {written:?}");
    set_alarm(&cluster.operator.control_plane, "DEACTIVATE").await?;
    cluster.finish().await
}
