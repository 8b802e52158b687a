//! A list of ConfigMapSyncs that is empty, incomplete or refused deletes no copy, however the API
//! server or a proxy in front of it answers when the operator then reads a ConfigMapSync.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::orphan_collection::fast_collection;
use crate::support::orphan_collection::stays_untouched;

const LIST: &str = "/apis/apps.nishaf.info/v1/configmapsyncs";
/// Several orphan collections.
const UNTOUCHED: Duration = Duration::from_secs(5);
const NAMES: [&str; 3] = ["one", "two", "three"];

/// A replica behind the fault proxy that collects orphans every second, after a grace of a second.
/// Not running; it has made a copy for each of [`NAMES`].
struct Cluster {
    proxy: FaultProxy,
    recorder: Recorder,
    mark: Mark,
    copies: Vec<ConfigMap>,
    operator: OperatorCluster,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let mut operator = OperatorCluster::start(0).await?;
        let proxy = FaultProxy::start(&operator.control_plane)?;
        let fixture = operator.fixture();
        let recorder = Recorder::start(fixture.client()).await?;
        let mark = operator.audit().mark().await?;
        let options = Options { server: Some(proxy.url()), ..fast_collection("1s") };
        let replica = Replica::start(&operator.control_plane, OPERATOR, &options).await?;
        replica.wait_ready().await?;
        fixture.create_namespaces(&["central", "app"]).await?;
        let mut copies = Vec::new();
        for name in NAMES {
            fixture.create_config_map("central", name, &[("a", "1")]).await?;
            fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
            fixture.wait_reason("central", name, "Synced", SOON).await?;
            copies.push(fixture.config_map("app", name).await?.context("no copy")?);
        }
        replica.terminate_and_wait().await?;
        operator.replicas.push(replica);
        Ok(Self { proxy, recorder, mark, copies, operator })
    }

    fn fixture(&self) -> Fixture {
        self.operator.fixture()
    }

    /// The list of ConfigMapSyncs as the API server sends it, with the first `count` items only.
    async fn list(&self, count: usize) -> Result<Value> {
        let request = http::Request::get(LIST).body(Vec::new())?;
        let mut list: Value = self.fixture().client().request(request).await?;
        let items = list["items"].as_array_mut().context("a list without items")?;
        items.truncate(count);
        Ok(list)
    }

    /// Fails if a copy changes within the time of several collections.
    async fn copies_stay(&self) -> Result<()> {
        let fixture = self.fixture();
        let staying = self.copies.iter().map(|copy| stays_untouched(&fixture, copy, UNTOUCHED));
        futures::future::try_join_all(staying).await.map(drop)
    }

    /// Removes all faults, and restarts the replica. Fails unless every copy is as before, and still
    /// followed.
    async fn finish(&mut self) -> Result<()> {
        self.proxy.clear();
        self.operator.replica()?.terminate_and_restart().await?;
        let fixture = self.fixture();
        for (name, copy) in NAMES.into_iter().zip(&self.copies) {
            let edit = json!({"data": {"a": "2"}});
            fixture.patch_config_map("central", name, &edit).await?;
            let now = fixture.wait_data("app", name, &[("a", "2")], SOON).await?;
            ensure!(now.metadata.uid == copy.metadata.uid, "the copy app/{name} was recreated");
            fixture.wait_reason("central", name, "Synced", SOON).await?;
        }
        let events = self.operator.audit().since(self.mark).await?;
        oracle::ensure_all(&self.recorder.history().await?, &events)
    }
}

fn is_list(request: &Request) -> bool {
    request.path == LIST && !request.is_watch()
}

/// A response with this body.
fn response(status: u16, body: &Value) -> Fault {
    Fault::Respond(CannedResponse { status, retry_after: None, body: body.to_string() })
}

fn not_found(details: &Value) -> Fault {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "not found", "reason": "NotFound", "details": details, "code": 404,
    });
    response(404, &status)
}

/// Responses that do not prove that a ConfigMapSync was deleted.
fn no_proofs() -> Vec<(&'static str, Fault)> {
    let page = "<html>404 Not Found</html>".to_owned();
    let another = json!({
        "name": "another", "group": "apps.nishaf.info", "kind": "configmapsyncs",
    });
    vec![
        ("a page of a proxy", {
            Fault::Respond(CannedResponse { status: 404, retry_after: None, body: page })
        }),
        ("a 404 for the kind", not_found(&json!({}))),
        ("a 404 for another object", not_found(&another)),
        ("500", Fault::Respond(CannedResponse::failure(500))),
        ("410", Fault::Respond(CannedResponse::failure(410))),
        ("a reset", Fault::Cut),
        ("a truncated response", Fault::TruncateResponse),
    ]
}

#[tokio::test]
async fn an_empty_or_partial_list_deletes_no_copy() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    for count in [0, 1] {
        let list = cluster.list(count).await?;
        cluster.proxy.clear();
        cluster.proxy.add(Rule::new(response(200, &list)).when(is_list).always());
        let start = cluster.proxy.count();
        cluster.operator.replica()?.restart()?;
        cluster.copies_stay().await?;
        // With the right responses first, then with each that proves nothing.
        wait_owner_reads(&cluster, start, "a list that is not complete", None).await?;
        for (what, fault) in no_proofs() {
            cluster.proxy.clear();
            cluster.proxy.add(Rule::new(response(200, &list)).when(is_list).always());
            cluster.proxy.add(Rule::new(fault.clone()).when(is_owner_read).always());
            let start = cluster.proxy.count();
            wait_owner_reads(&cluster, start, what, Some(fault.name())).await?;
        }
        cluster.copies_stay().await?;
    }
    cluster.finish().await
}

fn is_owner_read(request: &Request) -> bool {
    request.method == Method::GET
        && request.resource() == "configmapsyncs"
        && !request.namespace().is_empty()
}

/// Waits until orphan collection has read ConfigMapSyncs twice, with this fault.
async fn wait_owner_reads(
    cluster: &Cluster,
    start: usize,
    what: &str,
    fault: Option<&str>,
) -> Result<()> {
    until(format!("the operator reads ConfigMapSyncs twice, with {what}"), SOON, || async {
        let requests = cluster.proxy.requests_since(start);
        let reads = requests.iter().filter(|it| is_owner_read(it) && it.fault == fault).count();
        let twice = reads >= 2 * NAMES.len();
        Ok(Seen::from_bool(twice, || format!("{reads} reads among {} requests", requests.len())))
    })
    .await
}

#[tokio::test]
async fn a_list_that_fails_midway_deletes_no_copy() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut page = cluster.list(1).await?;
    page["metadata"]["continue"] = "next".into();
    page["metadata"]["remainingItemCount"] = 2.into();
    let is_next = |it: &Request| is_list(it) && it.query.contains("continue=next");
    cluster
        .proxy
        .add(Rule::new(Fault::Respond(CannedResponse::failure(410))).when(is_next).always());
    // Three lists begin with this page; the fourth is complete.
    cluster.proxy.add(Rule::new(response(200, &page)).when(is_list).times(3));
    let start = cluster.proxy.count();
    cluster.operator.replica()?.restart()?;
    cluster.copies_stay().await?;
    cluster.operator.replica()?.wait_ready().await?;
    let requests = cluster.proxy.requests_since(start);
    let expired = requests.iter().filter(|it| is_next(it)).count();
    ensure!(expired > 0, "no list was continued");
    cluster.finish().await
}

#[tokio::test]
async fn a_kind_that_is_not_found_deletes_no_copy() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let page = Fault::Respond(CannedResponse {
        status: 404,
        retry_after: None,
        body: "404 page not found\n".to_owned(),
    });
    cluster.proxy.add(Rule::new(page).when(is_list).always());
    let start = cluster.proxy.count();
    cluster.operator.replica()?.restart()?;
    until("the list was refused twice", SOON, || async {
        let lists = cluster.proxy.requests_since(start).iter().filter(|it| is_list(it)).count();
        Ok(Seen::from_bool(lists >= 2, || format!("{lists} lists")))
    })
    .await?;
    cluster.copies_stay().await?;
    ensure!(!cluster.operator.replica()?.is_ready().await?, "ready without the list");
    cluster.finish().await
}
