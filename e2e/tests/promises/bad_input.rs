//! Promise: bad input gets a clear error, and nothing is lost.

mod cases;
pub mod stored;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use configmapsync::api::custom_resource_definition;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Request;
use kube::Client;
use serde_json::Value;
use serde_json::json;

use crate::bad_input::cases::Case;

const SEED: &str = include_str!("../../../deploy/samples/configmapsync.yaml");
const SYNCS: &str = "/apis/apps.nishaf.info/v1/namespaces/default/configmapsyncs";
/// Nothing is stored, and a field that nobody knows is an error, as it is for `kubectl`.
const CHECK: &str = "dryRun=All&fieldValidation=Strict";

/// A spec that sets nothing but what it must.
pub fn plain() -> Value {
    json!({
        "sourceNamespace": "central",
        "configMapName": "shared",
        "destinationNamespace": "app",
    })
}

/// `base` with a merge patch applied: a `null` removes a field.
pub fn changed(mut base: Value, change: &Value) -> Value {
    json_patch::merge(&mut base, change);
    base
}

/// What the API server says against a request; nothing, if it takes it.
async fn complaint(client: &Client, request: Request<Vec<u8>>) -> Result<Option<String>> {
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("asking the API server"),
    }
}

async fn complaint_about(client: &Client, sync: &Value) -> Result<Option<String>> {
    let request = Request::post(format!("{SYNCS}?{CHECK}"))
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(sync)?)?;
    complaint(client, request).await
}

async fn complaint_about_spec(client: &Client, spec: &Value) -> Result<Option<String>> {
    let sync = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": "checked"},
        "spec": spec,
    });
    complaint_about(client, &sync).await
}

async fn complaint_about_status(client: &Client, status: &Value) -> Result<Option<String>> {
    let request = Request::patch(format!("{SYNCS}/stored/status?{CHECK}"))
        .header("Content-Type", "application/merge-patch+json")
        .body(serde_json::to_vec(&json!({"status": status}))?)?;
    complaint(client, request).await
}

/// The refusal, if it holds every word that helps.
fn helpful(case: &Case, said: Option<String>) -> Result<String> {
    let Some(said) = said else { bail!("{} is accepted", case.what) };
    for word in &case.words {
        ensure!(said.contains(word), "{}: no {word:?} in: {said}", case.what);
    }
    Ok(said)
}

#[tokio::test]
async fn every_rule_and_bound_is_refused_with_its_message() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let client = world.control_plane.client();
    world
        .fixture()
        .create_sync("default", "stored", one_to_one("central", "shared", "app"))
        .await?;
    let mut refusals = Vec::new();
    for case in cases::specs() {
        let said = complaint_about_spec(&client, &changed(plain(), &case.value)).await?;
        refusals.push(helpful(&case, said)?);
    }
    for case in cases::statuses() {
        let said = complaint_about_status(&client, &case.value).await?;
        refusals.push(helpful(&case, said)?);
    }
    let schema = cases::schema(&custom_resource_definition())?;
    let mut unseen: Vec<_> = cases::bounds(&schema, "");
    ensure!(unseen.len() > 40, "the schema has many rules and bounds: {unseen:?}");
    // What is said of the whole object has no field to be said of.
    unseen.retain(|(path, words)| {
        let field = path.trim_start_matches('.');
        !refusals.iter().any(|said| said.contains(field) && said.contains(words.as_str()))
    });
    ensure!(unseen.is_empty(), "rules and bounds that no case breaks: {unseen:#?}");
    Ok(())
}

#[tokio::test]
async fn every_field_of_a_wrong_type_is_refused() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let client = world.control_plane.client();
    let schema = cases::schema(&custom_resource_definition())?;
    let fields = schema["properties"]["spec"]["properties"].as_object().context("no fields")?;
    for (field, schema) in fields {
        let wrong = if schema["type"] == "string" { json!(7) } else { json!("text") };
        let spec = changed(plain(), &json!({field: wrong}));
        let said = complaint_about_spec(&client, &spec).await?;
        let words = [format!("spec.{field}"), "must be of type".to_owned()];
        let what = format!("{field} of a wrong type");
        helpful(&Case { what, value: spec, words: words.into() }, said)?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_right_is_accepted() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let client = world.control_plane.client();
    let seed: Value = serde_saphyr::from_str(SEED)?;
    let said = complaint_about(&client, &seed).await?;
    ensure!(said.is_none(), "the seed manifest is refused: {said:?}");
    let full = cases::full();
    let selected = changed(
        full.clone(),
        &json!({
            "destinationNamespace": null,
            "destinationNamespaceSelector": {
                "matchLabels": {"team": "a"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}],
            },
        }),
    );
    let renamed = json!({"destinationNamespace": "central", "destinationName": "other"});
    let longest = json!({
        "sourceNamespace": "n".repeat(63),
        "configMapName": "c".repeat(253),
        "destinationNamespace": "m".repeat(63),
    });
    for (what, spec) in [
        ("every field", full),
        ("every field with a selector", selected),
        ("another name in the same namespace", changed(plain(), &renamed)),
        ("the longest names", longest),
    ] {
        let said = complaint_about_spec(&client, &spec).await?;
        ensure!(said.is_none(), "{what}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_admission_cannot_judge_is_named() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let expression = |operator: &str, values: Value| {
        let expression = json!({"key": "team", "operator": operator, "values": values});
        json!({
            "destinationNamespace": null,
            "destinationNamespaceSelector": {"matchExpressions": [expression]},
        })
    };
    let metadata = |map: &str, entry: Value| json!({"destinationMetadata": {map: entry}});
    let fields = [
        ("destinationNamespaceSelector", expression("In", json!([]))),
        ("destinationNamespaceSelector", expression("Exists", json!(["a"]))),
        ("destinationNamespaceSelector", expression("Is", json!(["a"]))),
        ("destinationMetadata.labels", metadata("labels", json!({"a": "no space"}))),
        ("destinationMetadata.annotations", metadata("annotations", json!({"a/b/c": "d"}))),
    ];
    for (number, (named, change)) in fields.iter().enumerate() {
        let name = format!("sync-{number}");
        let spec = serde_json::from_value(changed(plain(), change))?;
        fixture.create_sync("central", &name, spec).await?;
        is_stalled(&fixture, &name, &format!("spec.{named}")).await?;
    }
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "nothing is copied");
    Ok(())
}

/// Waits until the sync of `central` is `InvalidSpec`, and looks at its conditions.
async fn is_stalled(fixture: &Fixture, name: &str, words: &str) -> Result<()> {
    stored::wait_stored(&fixture.client(), name, SOON, |sync| {
        let conditions = &sync.status.conditions;
        let condition = |type_: &str, status: &str| {
            conditions.iter().any(|it| {
                it.type_ == type_
                    && it.status == status
                    && it.reason == "InvalidSpec"
                    && it.message.contains(words)
            })
        };
        condition("Ready", "False") && condition("Stalled", "True")
    })
    .await
    .with_context(|| format!("{name} is InvalidSpec, and says {words:?}"))
}
