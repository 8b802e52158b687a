//! The state in the namespaces of one run, comparable with that of another run.

use std::fmt::Write as _;

use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;

use crate::support::crash::scenario::RunNamespaces;

/// Data, markers, finalizers and conditions of every ConfigMap and ConfigMapSync, as text without
/// what differs between runs: the prefix of the namespaces, uids and resourceVersions.
pub async fn state(namespaces: &RunNamespaces) -> Result<String> {
    let client = namespaces.fixture.client();
    let all = ListParams::default();
    let maps = Api::<ConfigMap>::all(client.clone()).list(&all).await?.items;
    let syncs = Api::<ConfigMapSync>::all(client).list(&all).await?.items;
    let here = |namespace: Option<String>| namespaces.holds(&namespace.unwrap_or_default());

    let syncs: Vec<_> = syncs.into_iter().filter(|it| here(it.namespace())).collect();
    let is_relevant =
        |map: &&ConfigMap| map.name_any() != names::KUBE_ROOT_CA && here(map.namespace());
    let mut text = String::new();
    for map in maps.iter().filter(is_relevant) {
        let mut map = serde_json::to_value(map)?;
        if let Some(uid) = map["metadata"]["labels"].get_mut(names::LABEL_SYNC_UID) {
            let sync = syncs.iter().find(|sync| sync.metadata.uid.as_deref() == uid.as_str());
            *uid = sync
                .map_or_else(|| "of a deleted ConfigMapSync".to_owned(), ResourceExt::name_any)
                .into();
        }
        writeln!(text, "{}", describe_config_map(&map))?;
    }
    for sync in &syncs {
        writeln!(text, "{}", describe_sync(&serde_json::to_value(sync)?))?;
    }
    Ok(text.replace(&namespaces.prefix, ""))
}

fn describe_metadata(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "labels": metadata["labels"],
        "annotations": metadata["annotations"],
        "finalizers": metadata["finalizers"],
        "deleting": metadata["deletionTimestamp"].is_string(),
    })
}

fn describe_config_map(object: &Value) -> Value {
    json!({
        "metadata": describe_metadata(object),
        "data": object["data"],
        "binaryData": object["binaryData"],
        "immutable": object["immutable"],
    })
}

fn describe_sync(object: &Value) -> Value {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<_> =
        conditions.iter().map(|it| json!([it["type"], it["status"], it["reason"]])).collect();
    json!({
        "metadata": describe_metadata(object),
        "current": status["observedGeneration"] == object["metadata"]["generation"],
        "conditions": conditions,
        "contentHash": status["contentHash"],
        "copies": status["copies"],
        "failures": status["failures"],
    })
}
