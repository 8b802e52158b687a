//! While the API server is down, restarts again and again, or its etcd refuses writes, the operator
//! sends few requests and counts nothing as done; afterwards all copies are in sync within a minute.
//!
//! `E2E_FULL=1` restarts the API server 20 times instead of 3.

use std::collections::BTreeMap;
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
use testbed::requests;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::scale::quick_or_full;
use crate::support::startup::ensure_not_panicked;

const DOWN: Duration = Duration::from_secs(30);
const CONVERGED: Duration = Duration::from_mins(1);
/// The shortest first delay of the backoff, less the jitter.
const FIRST_DELAY: Duration = Duration::from_millis(640);
/// The longest delay, less the jitter.
const LONGEST_DELAY: Duration = Duration::from_secs(24);
/// Attempts of one watch in an outage of [`DOWN`]: one for each step of the backoff, and those that
/// end the watch and its list.
const MAX_ATTEMPTS: usize = 8;
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

/// A request that begins or continues a watch or its list. Each resource has one watch.
fn is_of_watch(request: &Request) -> bool {
    ["configmapsyncs", "configmaps", "namespaces"].contains(&request.resource())
        && request.namespace().is_empty()
}

/// Fails unless failed attempts of each watch wait longer each time. Returns the number of attempts
/// by resource.
fn ensure_backed_off(requests: &[Request]) -> Result<BTreeMap<String, usize>> {
    let mut attempts = BTreeMap::<String, Vec<&Request>>::new();
    for request in requests.iter().filter(|it| is_of_watch(it)) {
        attempts.entry(request.resource().to_owned()).or_default().push(request);
    }
    for (resource, attempts) in &attempts {
        let mut failures = 0;
        for pair in attempts.windows(2) {
            let [failed, next] = pair else { continue };
            if failed.status.is_some_and(|status| status < 400) {
                failures = 0;
                continue;
            }
            let shortest = (FIRST_DELAY * 2_u32.pow(failures)).min(LONGEST_DELAY);
            let waited = next.arrived - failed.arrived;
            ensure!(
                waited >= shortest,
                "{resource}: {next} came {waited:.1?} after failure {failures} ({failed}), expected \
                 at least {shortest:.1?}"
            );
            failures += 1;
        }
    }
    Ok(attempts.into_iter().map(|(resource, all)| (resource, all.len())).collect())
}

#[tokio::test]
async fn an_outage_of_half_a_minute_costs_few_requests() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let start = cluster.proxy.count();
    cluster.operator.control_plane.api_server().kill()?;
    cluster.change_everything("new").await?;
    stays("the API server is down", DOWN, || async { Ok(Seen::Done(())) }).await?;
    let attempts = ensure_backed_off(&cluster.proxy.requests_since(start))?;
    eprintln!("attempts of the watches in {DOWN:?}: {attempts:?}");
    ensure!(attempts.len() == 3, "expected attempts of all watches: {attempts:?}");
    ensure!(attempts.values().all(|count| *count <= MAX_ATTEMPTS), "{attempts:?}");
    cluster.operator.control_plane.restart_api_server().await?;
    cluster.finish().await
}

#[tokio::test]
async fn restarts_of_the_api_server_cost_few_requests() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let start = cluster.proxy.count();
    let restarts = quick_or_full(3, 20);
    for restart in 1..=restarts {
        cluster.operator.control_plane.restart_api_server().await?;
        let edit = json!({"data": {"a": format!("restart {restart}")}});
        cluster.fixture.patch_config_map("central", "shared", &edit).await?;
    }
    cluster.finish().await?;
    let attempts = ensure_backed_off(&cluster.proxy.requests_since(start))?;
    eprintln!("attempts of the watches during {restarts} restarts: {attempts:?}");
    Ok(())
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
    let client = requests::client().unix_socket(socket).build()?;
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
