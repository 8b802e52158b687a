//! A source counts as missing only if a response names it as missing. Any other 404, such as the page
//! of a proxy, is an error that is retried: no copy is deleted, and none stays behind its source. A
//! source that was found missing is read again once per resync period. The command `uninstall` does not
//! take such a response for the absence of a Deployment, a Lease or a kind. A copy counts as deleted only
//! if a response names it as deleted.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::SourceDeletionPolicy;
use harness::cli::configmapsync;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::lines;
use testbed::kubeconfig;
use testbed::kubeconfig::Credential;
use testbed::users::Permission;

use crate::support::audit::copy_writes;
use crate::support::uninstall_steps::stop_operator;

/// A rule that answers the next read with 404 and this body.
fn next_read(body: String) -> Rule {
    let response = CannedResponse { status: 404, retry_after: None, body };
    Rule::new(Fault::Respond(response)).method(Method::GET)
}

/// The next read of the source is answered with 404 and this body.
fn answer_next_read(proxy: &FaultProxy, body: String) {
    proxy.add(next_read(body).path_contains("/namespaces/central/configmaps/shared"));
}

fn not_found(details: &Value) -> String {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "not found",
        "reason": "NotFound",
        "details": details,
        "code": 404,
    });
    status.to_string()
}

/// Responses that do not prove that the ConfigMap `shared` is missing.
fn unproven() -> [(&'static str, String); 5] {
    [
        ("a page", "<html>\n<body>404 Not Found</body>\n</html>\n".to_owned()),
        ("an empty body", String::new()),
        ("no details", not_found(&Value::Null)),
        ("another object", not_found(&json!({"name": "other", "kind": "configmaps"}))),
        ("another kind", not_found(&json!({"name": "shared", "kind": "secrets"}))),
    ]
}

/// Creates the source, and waits until the operator has received the event of it: no ConfigMapSync
/// refers to the source yet, so only a read can find it later.
async fn create_source_before_its_sync(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "witness", &[("edits", "0")]).await?;
    fixture.create_sync("central", "witness", one_to_one("central", "witness", "app")).await?;
    fixture.wait_data("app", "witness", &[("edits", "0")], SOON).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    // Events of one kind arrive in order.
    let edit = json!({"data": {"edits": "1"}});
    fixture.patch_config_map("central", "witness", &edit).await?;
    fixture.wait_data("app", "witness", &[("edits", "1")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn an_unproven_404_of_the_source_deletes_no_copy() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.source_deletion_policy = SourceDeletionPolicy::Delete;
    fixture.create_synced_copy_with(spec, &[("a", "0")]).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mark = cluster.audit().mark().await?;
    for (number, (what, body)) in unproven().into_iter().enumerate() {
        let value = (number + 1).to_string();
        answer_next_read(&proxy, body);
        let edit = json!({"data": {"a": value}});
        fixture.patch_config_map("central", "shared", &edit).await?;
        let followed = fixture.wait_data("app", "shared", &[("a", &value)], SOON).await;
        let followed = followed.with_context(|| format!("after a response with {what}"))?;
        ensure!(followed.metadata.uid == copy.metadata.uid, "{what}: the copy was deleted");
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    }
    let faults = proxy.requests().into_iter().filter(|request| request.fault.is_some()).count();
    ensure!(faults == unproven().len(), "{faults} reads were answered by the proxy");
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn an_unproven_404_of_a_new_source_is_retried() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    create_source_before_its_sync(&fixture).await?;
    answer_next_read(&proxy, not_found(&Value::Null));
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_source_is_read_once_per_resync_period() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let arguments = vec!["--resync-period=6s".to_owned()];
    let options = Options { server: Some(proxy.url()), arguments, ..Options::default() };
    let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    replica.wait_ready().await?;
    cluster.replicas.push(replica);
    let fixture = cluster.fixture();
    create_source_before_its_sync(&fixture).await?;
    answer_next_read(&proxy, not_found(&json!({"name": "shared", "kind": "configmaps"})));
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}

/// Writes the kubeconfig of a cluster administrator with a token, which the proxy forwards.
async fn administrator(cluster: &OperatorCluster, proxy: &FaultProxy) -> Result<PathBuf> {
    let name = "administrator";
    let control_plane = &cluster.control_plane;
    let metadata = json!({"name": name, "namespace": "default"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    control_plane.apply(account).await?;
    let user = format!("system:serviceaccount:default:{name}");
    let permission =
        Permission { namespace: None, group: "apps", resource: "deployments", verb: "get" };
    control_plane.bind(&user, None, "ClusterRole", "cluster-admin", permission).await?;
    let accounts = Api::<ServiceAccount>::namespaced(control_plane.client(), "default");
    let request = TokenRequest::default();
    let token = accounts.create_token_request(name, &PostParams::default(), &request).await?;
    let token = token.status.context("the response contains no token")?.token;
    let authority = control_plane.authority().certificate();
    let text = kubeconfig::render(&proxy.url(), authority, &Credential::Token(token))?;
    let file = control_plane.folder().join("administrator.kubeconfig");
    fs::write(&file, text)?;
    Ok(file)
}

#[tokio::test]
async fn an_unproven_404_does_not_pass_for_an_uninstallation() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    stop_operator(&mut cluster).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let kubeconfig = administrator(&cluster, &proxy).await?;
    let arguments = ["uninstall", "--yes", "--delete-copies"];
    for resource in ["deployments", "leases", "configmapsyncs"] {
        proxy.add(next_read(not_found(&Value::Null)).resource(resource));
        let result = configmapsync(&kubeconfig, &arguments).await?;
        let is_refused = result.code != 0 && result.stderr.contains("not found");
        ensure!(is_refused, "with a 404 for {resource}: {result:?}");
        fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    }
    let result = configmapsync(&kubeconfig, &arguments).await?;
    ensure!(result.code == 0 && result.stdout.contains("1 deleted"), "{result:?}");
    Ok(())
}

#[tokio::test]
async fn a_page_with_200_does_not_prove_a_deletion() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
    for body in [json!({}), success] {
        let page = CannedResponse { status: 200, retry_after: None, body: body.to_string() };
        let rule = Rule::new(Fault::Respond(page)).method(Method::DELETE);
        proxy.add(rule.resource("configmaps"));
    }
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "the copy outlived its finalizer"
    );
    Ok(())
}
