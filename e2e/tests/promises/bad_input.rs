//! Invalid input is refused with a message that names the field and the rule, and nothing is lost.

mod cases;
mod selectors;
mod stored;
pub mod support;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use configmapsync::api::custom_resource_definition;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Request;
use kube::Client;
use serde_json::Value;
use serde_json::json;

use crate::bad_input::cases::Case;
use crate::bad_input::selectors::selecting;
use crate::bad_input::support::DRY_RUN;
use crate::bad_input::support::SYNCS;
use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::refusal;
use crate::bad_input::support::refusal_of_spec;
use crate::bad_input::support::refusal_of_sync;
use crate::bad_input::support::wait_stalled;
const SAMPLE: &str = include_str!("../../../deploy/samples/configmapsync.yaml");

async fn refusal_of_status(client: &Client, status: &Value) -> Result<Option<String>> {
    let request = Request::patch(format!("{SYNCS}/stored/status?{DRY_RUN}"))
        .header("Content-Type", "application/merge-patch+json")
        .body(serde_json::to_vec(&json!({"status": status}))?)?;
    refusal(client, request).await
}

/// Fails unless the request was refused with every expected word. Returns the message.
fn ensure_refused(case: &Case, message: Option<String>) -> Result<String> {
    let Some(message) = message else { bail!("{} is accepted", case.what) };
    for word in &case.words {
        ensure!(message.contains(word), "{}: no {word:?} in: {message}", case.what);
    }
    Ok(message)
}

#[tokio::test]
async fn violations_of_every_rule_are_refused_with_a_message() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let client = cluster.control_plane.client();
    cluster
        .fixture()
        .create_sync("default", "stored", one_to_one("central", "shared", "app"))
        .await?;
    let mut refusals = Vec::new();
    for case in cases::specs().into_iter().chain(selectors::specs()) {
        let message = refusal_of_spec(&client, &merged(minimal_spec(), &case.value)).await?;
        refusals.push(ensure_refused(&case, message)?);
    }
    for case in cases::statuses() {
        let message = refusal_of_status(&client, &case.value).await?;
        refusals.push(ensure_refused(&case, message)?);
    }
    let schema = cases::schema(&custom_resource_definition())?;
    let mut untested: Vec<_> = cases::bounds(&schema, "");
    ensure!(untested.len() > 40, "the schema has many rules and bounds: {untested:?}");
    untested.retain(|(path, words)| {
        let field = path.trim_start_matches('.');
        !refusals.iter().any(|message| message.contains(field) && message.contains(words.as_str()))
    });
    ensure!(
        untested.is_empty(),
        "rules and bounds without a case that violates them: {untested:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn fields_of_a_wrong_type_are_refused() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let client = cluster.control_plane.client();
    let schema = cases::schema(&custom_resource_definition())?;
    let fields = schema["properties"]["spec"]["properties"].as_object().context("no fields")?;
    for (field, schema) in fields {
        let wrong = if schema["type"] == "string" { json!(7) } else { json!("text") };
        let spec = merged(minimal_spec(), &json!({field: wrong}));
        let message = refusal_of_spec(&client, &spec).await?;
        let words = [format!("spec.{field}"), "must be of type".to_owned()];
        let what = format!("{field} of a wrong type");
        ensure_refused(&Case { what, value: spec, words: words.into() }, message)?;
    }
    Ok(())
}

#[tokio::test]
async fn valid_specs_are_accepted() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let client = cluster.control_plane.client();
    let sample: Value = serde_saphyr::from_str(SAMPLE)?;
    let message = refusal_of_sync(&client, &sample).await?;
    ensure!(message.is_none(), "deploy/samples/configmapsync.yaml is refused: {message:?}");
    let full = cases::full_spec();
    let selected = merged(
        full.clone(),
        &json!({
            "destinationNamespace": null,
            "destinationNamespaceSelector": {
                "matchLabels": {"team": "a"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}],
            },
        }),
    );
    let longest_selector = json!({
        "matchLabels": {format!("{}/{}", "p".repeat(253), "n".repeat(63)): "v".repeat(63)},
        "matchExpressions": [
            {"key": "Team_1.x", "operator": "NotIn", "values": ["", "A-b_c.9"]},
            {"key": "example.com/team", "operator": "DoesNotExist"},
            {"key": "team", "operator": "Exists", "values": []},
        ],
    });
    let longest_selector = merged(minimal_spec(), &selecting(&longest_selector));
    let renamed = json!({"destinationNamespace": "central", "destinationName": "other"});
    let longest = json!({
        "sourceNamespace": "n".repeat(63),
        "configMapName": "c".repeat(253),
        "destinationNamespace": "m".repeat(63),
    });
    for (what, spec) in [
        ("every field", full),
        ("every field with a selector", selected),
        ("the longest key and value of a selector", longest_selector),
        ("another name in the same namespace", merged(minimal_spec(), &renamed)),
        ("the longest names", longest),
    ] {
        let message = refusal_of_spec(&client, &spec).await?;
        ensure!(message.is_none(), "{what}: {message:?}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_that_admission_misses_are_reported_in_the_status() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let metadata = |map: &str, entry: Value| json!({"destinationMetadata": {map: entry}});
    let fields = [
        ("destinationMetadata.labels", metadata("labels", json!({"a": "no space"}))),
        ("destinationMetadata.annotations", metadata("annotations", json!({"a/b/c": "d"}))),
    ];
    for (number, (named, change)) in fields.iter().enumerate() {
        let name = format!("sync-{number}");
        let spec = serde_json::from_value(merged(minimal_spec(), change))?;
        fixture.create_sync("central", &name, spec).await?;
        wait_stalled(&fixture, &name, &format!("spec.{named}")).await?;
    }
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "app/shared was created from an invalid spec"
    );
    Ok(())
}
