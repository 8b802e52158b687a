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
    let maps = maps.iter().filter(|it| here(it.namespace())).map(serde_json::to_value);
    let syncs = syncs.iter().filter(|it| here(it.namespace())).map(serde_json::to_value);
    let (maps, syncs) =
        (maps.collect::<Result<Vec<_>, _>>()?, syncs.collect::<Result<Vec<_>, _>>()?);
    describe(&namespaces.prefix, maps, &syncs)
}

/// As [`state`], of objects that were read already.
pub fn describe(prefix: &str, maps: Vec<Value>, syncs: &[Value]) -> Result<String> {
    let mut text = String::new();
    for mut map in maps {
        if map["metadata"]["name"] == names::KUBE_ROOT_CA {
            continue;
        }
        if let Some(uid) = map["metadata"]["labels"].get_mut(names::LABEL_SYNC_UID) {
            let sync = syncs.iter().find(|sync| sync["metadata"]["uid"] == *uid);
            let name = sync.and_then(|sync| sync["metadata"]["name"].as_str());
            *uid = name.unwrap_or("of a deleted ConfigMapSync").into();
        }
        writeln!(text, "{}", describe_config_map(&map))?;
    }
    for sync in syncs {
        writeln!(text, "{}", describe_sync(sync))?;
    }
    Ok(text.replace(prefix, ""))
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
