//! However long the texts of other components are, a status stays below 4 KiB, an Event below 1 KiB and a
//! log line below 16 KiB.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::set_validation;
use crate::bad_input::support::store;
use crate::bad_input::support::stored_sync;

const MAX_STATUS: usize = 4 * 1024;
const MAX_NOTE: usize = 1024;
const MAX_LINE: usize = 16 * 1024;
const LONG: usize = 300 * 1024;

/// A denial of 300 KiB, in characters that take more bytes in JSON.
fn denial() -> Fault {
    let mut denial = CannedResponse::failure(403);
    let mut body: Value = serde_json::from_str(&denial.body).unwrap_or_default();
    body["message"] = json!("\"配".repeat(LONG / 4));
    denial.body = body.to_string();
    Fault::Respond(denial)
}

/// Specs with a text of 300 KiB that their failure quotes: name, spec, and the reason.
fn specs() -> Vec<(&'static str, Value, &'static str)> {
    let long = "k ".repeat(LONG / 2);
    let selector = json!({"matchExpressions": [{"key": long, "operator": "In"}]});
    let selected = json!({
        "destinationNamespace": null,
        "destinationNamespaceSelector": selector,
    });
    let labels = json!({"labels": {long.clone(): "a"}});
    vec![
        ("selector", merged(minimal_spec(), &selected), "InvalidSpec"),
        ("label", merged(minimal_spec(), &json!({"destinationMetadata": labels})), "InvalidSpec"),
        ("name", merged(minimal_spec(), &json!({"configMapName": long})), "InvalidSpec"),
        ("policy", merged(minimal_spec(), &json!({"deletionPolicy": long})), "InvalidSpec"),
        ("unreadable", merged(minimal_spec(), &json!({"sourceNamespace": "closed"})), "Forbidden"),
        ("denied", minimal_spec(), "Forbidden"),
    ]
}

#[tokio::test]
async fn a_text_of_300_kib_is_cut_wherever_it_is_reported() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "closed"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_config_map("closed", "shared", &[("a", "1")]).await?;
    set_validation(&cluster, false).await?;
    let in_namespace = |method: Method, namespace: &'static str| {
        let rule = Rule::new(denial()).method(method).resource("configmaps");
        rule.when(move |request| request.namespace() == namespace).always()
    };
    proxy.add(in_namespace(Method::GET, "closed"));
    proxy.add(in_namespace(Method::POST, "app"));
    let mark = cluster.audit().mark().await?;
    for (name, spec, _) in specs() {
        store(&fixture.client(), name, &spec).await?;
    }
    for (name, _, reason) in specs() {
        let sync = until(format!("{name} reports {reason}"), SOON, || async {
            let sync = stored_sync(&fixture.client(), name).await?;
            let condition = sync.status.conditions.first();
            let seen = condition.map(|it| it.reason.clone()).unwrap_or_default();
            Ok(Seen::from_option((seen == reason).then_some(sync), || seen))
        })
        .await?;
        let status = serde_json::to_string(&sync.status)?;
        let size = status.len();
        ensure!(size < MAX_STATUS, "the status of {name} has {size} bytes: {status:.500}");
    }
    let events = cluster.audit().since(mark).await?;
    let notes = requests_by_operator(&events)
        .filter(|event| event.resource() == "events")
        .filter_map(|event| event.request_object.as_ref()?["note"].as_str());
    for note in notes {
        ensure!(note.len() <= MAX_NOTE, "a note has {} bytes: {note:.500}", note.len());
    }
    let replica = cluster.replicas.first().context("the cluster has no replica")?;
    for line in replica.logs() {
        let line = line.to_string();
        ensure!(line.len() < MAX_LINE, "a log line has {} bytes: {line:.500}", line.len());
    }
    Ok(())
}
