//! A tenant cannot change any field of a ConfigMapSync that an administrator created in the
//! tenant's namespace, nor create it again after its deletion.

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

use crate::consent::support::REFUSED;
use crate::consent::support::cluster_with_tenant;
use crate::consent::support::manifest;
use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Code;
use crate::support::attempt_table::Expected::Passes;

/// The administrator's spec: it copies a source that the tenant may not read into its namespace.
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
        ("serviceAccountName", json!({"serviceAccountName": "default"})),
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
async fn tenants_cannot_change_fields_of_an_administrators_sync() -> Result<()> {
    let changed: BTreeSet<_> = changes().into_iter().map(|(field, _)| field.to_owned()).collect();
    ensure!(changed == fields_of_the_kind()?, "{changed:?}");

    let (cluster, tenant) = cluster_with_tenant().await?;
    let fixture = cluster.fixture();
    let admin = cluster.control_plane.client();
    let create = Attempt::create("create", syncs("tenant"), manifest("gift", &gift()));
    ensure!(create.send_as(&admin).await?.is_allowed());
    fixture.wait_reason("tenant", "gift", "Synced", SOON).await?;

    let tenant = ("tenant", &tenant);
    let at = format!("{}/gift", syncs("tenant"));
    let mut table = AttemptTable::default();
    for (field, change) in changes() {
        let patch = Attempt::merge(format!("change {field}"), &at, json!({"spec": change}));
        if field == "serviceAccountName" {
            // Its own account, which may not read the source either.
            table.add(tenant, &patch, Passes).await?;
            fixture.wait_reason("tenant", "gift", "NotPermitted", SOON).await?;
            let removal = json!({"spec": {"serviceAccountName": null}});
            let removal = Attempt::merge("remove serviceAccountName", &at, removal);
            table.add(tenant, &removal, REFUSED).await?;
            table.add(("admin", &admin), &removal, Passes).await?;
            fixture.wait_reason("tenant", "gift", "Synced", SOON).await?;
            continue;
        }
        table.add(tenant, &patch, REFUSED).await?;
        let mut applied = gift();
        json_patch::merge(&mut applied, &change);
        let apply = Attempt::apply(format!("apply {field}"), &at, manifest("gift", &applied));
        // Server-side apply keeps the administrator's destinationNamespace: with a selector, the
        // spec is invalid.
        let has_selector = field == "destinationNamespaceSelector";
        let expected = if has_selector { Code(422) } else { REFUSED };
        table.add(tenant, &apply, expected).await?;
    }
    let label = Attempt::merge("label it", &at, json!({"metadata": {"labels": {"a": "b"}}}));
    table.add(tenant, &label, Passes).await?;
    let same = Attempt::apply("apply it unchanged", &at, manifest("gift", &gift()));
    table.add(tenant, &same, Passes).await?;
    let forged = json!({"status": {"contentHash": "v1:0"}});
    let status = Attempt::merge("forge its status", format!("{at}/status"), forged);
    table.add(tenant, &status, Code(403)).await?;
    // Permission to delete a ConfigMapSync includes the deletion of its copies.
    table.add(tenant, &Attempt::delete("delete it", &at), Passes).await?;
    fixture.wait_no_sync("tenant", "gift", SOON).await?;
    fixture.wait_no_config_map("tenant", "secret", SOON).await?;
    let again = Attempt::create("create it again", syncs("tenant"), manifest("gift", &gift()));
    table.add(tenant, &again, REFUSED).await?;
    table.finish()
}
