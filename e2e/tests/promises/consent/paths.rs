//! A tenant without permissions on a namespace cannot use it in a ConfigMapSync by any API request.

use anyhow::Context;
use anyhow::Result;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::syncs;
use harness::fixture::SOON;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;

use crate::consent::support::REFUSED;
use crate::consent::support::cluster_with_tenant;
use crate::consent::support::ensure_nothing_leaked;
use crate::consent::support::manifest;
use crate::consent::support::spec;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::Code;
use crate::support::attempt_table::Expected::Passes;

/// Specs that exceed the permissions of the tenant: a description, and a merge patch of a permitted
/// spec.
fn forbidden_specs() -> Vec<(String, Value)> {
    let mut specs = vec![
        (
            "the victim's source".to_owned(),
            json!({"sourceNamespace": "victim", "configMapName": "secret"}),
        ),
        (
            "a source that is absent".to_owned(),
            json!({"sourceNamespace": "victim", "configMapName": "none"}),
        ),
        (
            "every namespace".to_owned(),
            json!({"destinationNamespace": null, "destinationNamespaceSelector": {}}),
        ),
        (
            "namespaces by a label".to_owned(),
            json!({"destinationNamespace": null, "destinationNamespaceSelector":
                {"matchLabels": {"kubernetes.io/metadata.name": "victim"}}}),
        ),
        (
            "own namespace by a label".to_owned(),
            json!({"destinationNamespace": null, "destinationNamespaceSelector":
                {"matchLabels": {"kubernetes.io/metadata.name": "tenant"}}}),
        ),
    ];
    // Without the account, the permissions of the author would count.
    let none = json!({"serviceAccountName": null, "sourceNamespace": "victim"});
    specs.push(("no account".to_owned(), none));
    let elsewhere = ["victim", "kube-system", "kube-public", "default", OPERATOR, "nowhere"];
    specs.extend(elsewhere.map(|namespace| {
        (format!("a copy in {namespace}"), json!({"destinationNamespace": namespace}))
    }));
    specs
}

/// Each request that writes a ConfigMapSync with this spec: `name`, which does not exist, or
/// `mine`, which does.
fn requests(name: &str, goal: &str, patch: &Value) -> Vec<(Attempt, Expected<'static>)> {
    let body = |name: &str| manifest(name, &spec(patch));
    let mut generated = body("x");
    generated["metadata"] = json!({"generateName": "x-"});
    let (all, mine) = (syncs("tenant"), format!("{}/mine", syncs("tenant")));
    let what = |how: &str| format!("{how}: {goal}");
    // Server-side apply keeps the destinationNamespace of another field manager: with a selector,
    // the spec is invalid.
    let has_selector = !patch["destinationNamespaceSelector"].is_null();
    let applied = if has_selector { Code(422) } else { REFUSED };
    vec![
        (Attempt::create(what("create"), &all, body(name)), REFUSED),
        (Attempt::create(what("create by generateName"), &all, generated), REFUSED),
        (
            Attempt::create(what("create, dry run"), format!("{all}?dryRun=All"), body(name)),
            REFUSED,
        ),
        (Attempt::apply(what("apply a new one"), format!("{all}/{name}"), body(name)), REFUSED),
        (Attempt::replace(what("put a new one"), format!("{all}/{name}"), body(name)), Code(404)),
        (Attempt::apply(what("apply"), &mine, body("mine")), applied),
        (Attempt::merge(what("merge patch"), &mine, json!({"spec": patch})), REFUSED),
        (
            Attempt::patch(
                what("JSON patch"),
                &mine,
                json!([{"op": "replace", "path": "/spec", "value": spec(patch)}]),
            ),
            REFUSED,
        ),
        (
            Attempt::merge(
                what("patch of /status"),
                format!("{mine}/status"),
                json!({"spec": patch}),
            ),
            Code(403),
        ),
        (
            Attempt::merge(
                what("patch of /scale"),
                format!("{mine}/scale"),
                json!({"spec": patch}),
            ),
            Code(403),
        ),
    ]
}

#[tokio::test]
async fn tenants_reach_no_other_namespace_by_any_request() -> Result<()> {
    let (cluster, tenant) = cluster_with_tenant().await?;
    let tenant = ("tenant", &tenant);
    let mut table = AttemptTable::default();
    let own =
        Attempt::create("create: own copy", syncs("tenant"), manifest("mine", &spec(&json!({}))));
    table.add(tenant, &own, Passes).await?;
    let fixture = cluster.fixture();
    fixture.wait_data("tenant", "copy", &[("key", "mine")], SOON).await?;
    // The operator must not change it between the GET and the PUT below.
    fixture.wait_reason("tenant", "mine", "Synced", SOON).await?;

    for (goal, patch) in forbidden_specs() {
        for (attempt, expected) in requests("probe", &goal, &patch) {
            table.add(tenant, &attempt, expected).await?;
        }
        let mine = fixture.sync("tenant", "mine").await?.context("tenant/mine was deleted")?;
        let mut replacement = serde_json::to_value(&mine)?;
        replacement["spec"] = spec(&patch);
        let put = Attempt::replace(
            format!("put: {goal}"),
            format!("{}/mine", syncs("tenant")),
            replacement,
        );
        table.add(tenant, &put, REFUSED).await?;
    }
    let write =
        Attempt::merge("write to victim", format!("{}/secret", config_maps("victim")), json!({}));
    table.add(tenant, &write, Code(403)).await?;
    table.finish()?;
    ensure_nothing_leaked(&cluster, &["tenant/copy"]).await
}
