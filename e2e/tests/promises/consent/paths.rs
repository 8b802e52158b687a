//! Every way to write a ConfigMapSync, tried by a tenant who has no rights to the victim.

use anyhow::Context;
use anyhow::Result;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::syncs;
use harness::fixture::SOON;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;

use crate::consent::REFUSED;
use crate::consent::ensure_nothing_leaked;
use crate::consent::spec;
use crate::consent::stage;
use crate::consent::sync;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::Code;
use crate::support::attempt_table::Expected::Passes;

/// What is asked for, and what differs from what the tenant may have.
fn wishes() -> Vec<(String, Value)> {
    let mut wishes = vec![
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
    let elsewhere = ["victim", "kube-system", "kube-public", "default", OPERATOR, "nowhere"];
    wishes.extend(elsewhere.map(|namespace| {
        (format!("a copy in {namespace}"), json!({"destinationNamespace": namespace}))
    }));
    wishes
}

/// Each way to write the sync `name` with this spec; `mine` is there already.
fn ways(name: &str, wish: &str, differs: &Value) -> Vec<(Attempt, Expected<'static>)> {
    let body = |name: &str| sync(name, &spec(differs));
    let mut generated = body("x");
    generated["metadata"] = json!({"generateName": "x-"});
    let (all, mine) = (syncs("tenant"), format!("{}/mine", syncs("tenant")));
    let what = |how: &str| format!("{how}: {wish}");
    // Applied beside the other field, which belongs to somebody else, a selector is invalid.
    let selects = !differs["destinationNamespaceSelector"].is_null();
    let applied = if selects { Code(422) } else { REFUSED };
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
        (Attempt::merge(what("merge patch"), &mine, json!({"spec": differs})), REFUSED),
        (
            Attempt::patch(
                what("JSON patch"),
                &mine,
                json!([{"op": "replace", "path": "/spec", "value": spec(differs)}]),
            ),
            REFUSED,
        ),
        (
            Attempt::merge(
                what("patch of /status"),
                format!("{mine}/status"),
                json!({"spec": differs}),
            ),
            Code(403),
        ),
        (
            Attempt::merge(
                what("patch of /scale"),
                format!("{mine}/scale"),
                json!({"spec": differs}),
            ),
            Code(403),
        ),
    ]
}

#[tokio::test]
async fn a_tenant_who_tries_every_path_gets_nothing_of_anybody_else() -> Result<()> {
    let (world, tenant) = stage().await?;
    let tenant = ("tenant", &tenant);
    let mut table = AttemptTable::default();
    let own = Attempt::create("create: own copy", syncs("tenant"), sync("mine", &spec(&json!({}))));
    table.add(tenant, &own, Passes).await?;
    let fixture = world.fixture();
    fixture.wait_data("tenant", "copy", &[("key", "mine")], SOON).await?;
    // Nobody changes it between a look at it and its replacement.
    fixture.wait_reason("tenant", "mine", "Synced", SOON).await?;

    for (wish, differs) in wishes() {
        for (attempt, expected) in ways("probe", &wish, &differs) {
            table.add(tenant, &attempt, expected).await?;
        }
        let mine = fixture.sync("tenant", "mine").await?.context("mine is gone")?;
        let mut whole = serde_json::to_value(&mine)?;
        whole["spec"] = spec(&differs);
        let put =
            Attempt::replace(format!("put: {wish}"), format!("{}/mine", syncs("tenant")), whole);
        table.add(tenant, &put, REFUSED).await?;
    }
    let read =
        Attempt::merge("write to victim", format!("{}/secret", config_maps("victim")), json!({}));
    table.add(tenant, &read, Code(403)).await?;
    table.finish()?;
    ensure_nothing_leaked(&world, &["tenant/copy"]).await
}
