//! The copies that a `ConfigMapSync` desires, computed independently of the operator's code.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use kube::core::SelectorExt as _;
use serde_json::Value;
use testbed::accounts::OPERATOR;

use crate::oracle::copy_identity::annotation;
use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// Namespaces that no selector selects.
const PROTECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", OPERATOR];

/// The namespace and name of the source.
pub(super) fn source(sync: &Value) -> NamespacedName {
    let spec = |field: &str| sync["spec"][field].as_str().unwrap_or_default();
    NamespacedName::new(spec("sourceNamespace"), spec("configMapName"))
}

/// Whether it desires no copies: it has a deletion timestamp, or its `sourceDeletionPolicy` is `Delete`
/// and its source is missing or has the annotation that forbids copies.
pub(super) fn desires_nothing(history: &History, sync: &Value, revision: u64) -> bool {
    let source = history.at(Kind::ConfigMap, &source(sync), revision);
    let forbids = |source| annotation(source, names::ANNOTATION_NO_COPY) == Some("true");
    let follows = sync["spec"]["sourceDeletionPolicy"] == "Delete";
    sync["metadata"]["deletionTimestamp"].is_string() || (follows && source.is_none_or(forbids))
}

/// The namespaces and names of the desired copies, unless it desires none.
pub(super) fn destinations(
    history: &History,
    sync: &Value,
    revision: u64,
) -> BTreeSet<NamespacedName> {
    let spec = &sync["spec"];
    let name = spec["destinationName"].as_str().or_else(|| spec["configMapName"].as_str());
    let name = name.unwrap_or_default();
    let namespaces: Vec<String> = match spec["destinationNamespace"].as_str() {
        Some(namespace) => vec![namespace.to_owned()],
        None => selected(history, &spec["destinationNamespaceSelector"], revision),
    };
    let source = source(sync);
    let desired = namespaces.into_iter().map(|namespace| NamespacedName::new(namespace, name));
    desired.filter(|at| *at != source).collect()
}

/// The keys and values desired in each copy, of `data` and of `binaryData`.
pub(super) fn content(sync: &Value, source: &Value) -> [BTreeMap<String, Value>; 2] {
    let keys = sync["spec"]["keys"].as_array();
    let is_desired = |key: &str| keys.is_none_or(|keys| keys.iter().any(|it| it == key));
    contents(source).map(|all| all.into_iter().filter(|(key, _)| is_desired(key)).collect())
}

/// All keys and values of an object, of `data` and of `binaryData`.
pub(super) fn contents(object: &Value) -> [BTreeMap<String, Value>; 2] {
    ["data", "binaryData"].map(|field| {
        let entries = object[field].as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    })
}

fn selected(history: &History, selector: &Value, revision: u64) -> Vec<String> {
    let selector = serde_json::from_value::<LabelSelector>(selector.clone()).ok();
    let Some(Ok(selector)) = selector.map(Selector::try_from) else { return Vec::new() };
    let fits = |namespace: &&Change| {
        let labels = namespace.object["metadata"]["labels"].clone();
        let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap_or_default();
        let terminating = namespace.object["metadata"]["deletionTimestamp"].is_string();
        let name = namespace.at.name.as_str();
        !terminating && !PROTECTED.contains(&name) && selector.matches(&labels)
    };
    let present = history.present(Kind::Namespace, revision);
    present.iter().filter(|it| fits(it)).map(|it| it.at.name.clone()).collect()
}
