//! A sync that an administrator wrote is there, in the tenant's own namespace: the tenant cannot
//! bend it, whatever field is changed, nor have it back once it is deleted.

use std::collections::BTreeSet;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::custom_resource_definition;
use harness::attempt::Attempt;
use harness::attempt::syncs;
use harness::fixture::SOON;
use serde_json::Value;
use serde_json::json;

use crate::consent::REFUSED;
use crate::consent::stage;
use crate::consent::sync;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Code;
use crate::support::attempt_table::Expected::Passes;

/// The administrator's own: a source that the tenant may not read, copied to where it may.
fn gift() -> Value {
    json!({"sourceNamespace": "victim", "configMapName": "secret", "destinationNamespace": "tenant"})
}

/// One change for each field.
fn changes() -> Vec<(&'static str, Value)> {
    vec![
        ("sourceNamespace", json!({"sourceNamespace": "kube-system"})),
        ("configMapName", json!({"configMapName": "other"})),
        ("destinationNamespace", json!({"destinationNamespace": "default"})),
        (
            "destinationNamespaceSelector",
            json!({"destinationNamespace": null, "destinationNamespaceSelector": {}}),
        ),
        ("destinationName", json!({"destinationName": "other"})),
        ("keys", json!({"keys": ["key"]})),
        ("destinationMetadata", json!({"destinationMetadata": {"labels": {"a": "b"}}})),
        ("deletionPolicy", json!({"deletionPolicy": "Retain"})),
        ("sourceDeletionPolicy", json!({"sourceDeletionPolicy": "Delete"})),
        ("conflictPolicy", json!({"conflictPolicy": "Adopt"})),
        ("suspend", json!({"suspend": true})),
    ]
}

fn fields_of_the_kind() -> Result<BTreeSet<String>> {
    let definition = serde_json::to_value(custom_resource_definition())?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = schema["properties"]["spec"]["properties"].as_object().context("no fields")?;
    Ok(fields.keys().cloned().collect())
}

#[tokio::test]
async fn a_tenant_changes_no_field_of_what_an_administrator_wrote() -> Result<()> {
    let changed: BTreeSet<_> = changes().into_iter().map(|(field, _)| field.to_owned()).collect();
    ensure!(changed == fields_of_the_kind()?, "{changed:?}");

    let (world, tenant) = stage().await?;
    let fixture = world.fixture();
    let admin = world.control_plane.client();
    let create = Attempt::create("create", syncs("tenant"), sync("gift", &gift()));
    ensure!(create.by(&admin).await?.passed());
    fixture.wait_reason("tenant", "gift", "Synced", SOON).await?;

    let tenant = ("tenant", &tenant);
    let at = format!("{}/gift", syncs("tenant"));
    let mut table = AttemptTable::default();
    for (field, change) in changes() {
        let patch = Attempt::merge(format!("change {field}"), &at, json!({"spec": change}));
        table.add(tenant, &patch, REFUSED).await?;
        let mut applied = gift();
        json_patch::merge(&mut applied, &change);
        let apply = Attempt::apply(format!("apply {field}"), &at, sync("gift", &applied));
        // Applied beside the other field, which is the administrator's, a selector is invalid.
        let selects = field == "destinationNamespaceSelector";
        let expected = if selects { Code(422) } else { REFUSED };
        table.add(tenant, &apply, expected).await?;
    }
    let label = Attempt::merge("label it", &at, json!({"metadata": {"labels": {"a": "b"}}}));
    table.add(tenant, &label, Passes).await?;
    let same = Attempt::apply("apply it as it is", &at, sync("gift", &gift()));
    table.add(tenant, &same, Passes).await?;
    let forged = json!({"status": {"contentHash": "v1:0"}});
    let status = Attempt::merge("forge its status", format!("{at}/status"), forged);
    table.add(tenant, &status, Code(403)).await?;
    // As for whoever deletes a ConfigMap: the copies go with the sync.
    table.add(tenant, &Attempt::delete("delete it", &at), Passes).await?;
    fixture.wait_no_sync("tenant", "gift", SOON).await?;
    fixture.wait_no_config_map("tenant", "secret", SOON).await?;
    let again = Attempt::create("create it again", syncs("tenant"), sync("gift", &gift()));
    table.add(tenant, &again, REFUSED).await?;
    table.finish()
}
