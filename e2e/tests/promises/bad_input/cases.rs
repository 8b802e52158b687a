//! Invalid specs and statuses, and words that their refusal must contain.

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// An invalid input.
pub struct Case {
    /// What is invalid.
    pub what: String,
    /// A merge patch that makes a valid spec invalid, or an invalid status.
    pub value: Value,
    /// Words that the message must contain.
    pub words: Vec<String>,
}

// === impl Case ===

impl Case {
    pub fn new(what: &str, value: Value, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { what: what.to_owned(), value, words }
    }
}

/// A valid spec with every field.
pub fn full_spec() -> Value {
    json!({
        "sourceNamespace": "central",
        "configMapName": "shared.v1",
        "destinationNamespace": "app",
        "destinationName": "copy",
        "keys": ["a", "B_c-d.e"],
        "destinationMetadata": {
            "labels": {"team": "a"},
            "annotations": {"example.com/note": "b"},
        },
        "serviceAccountName": "copier.v1",
        "deletionPolicy": "Retain",
        "sourceDeletionPolicy": "Delete",
        "conflictPolicy": "Adopt",
        "suspend": true,
    })
}

/// Merge patches that make a valid spec invalid.
pub fn specs() -> Vec<Case> {
    let all = [names(), destinations(), keys(), policies(), metadata(), shape()];
    all.into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    let fields = [
        ("sourceNamespace", 63, "must be a valid namespace name"),
        ("destinationNamespace", 63, "must be a valid namespace name"),
        ("configMapName", 253, "must be a valid ConfigMap name"),
        ("destinationName", 253, "must be a valid ConfigMap name"),
        ("serviceAccountName", 253, "must be a valid ServiceAccount name"),
    ];
    for (field, longest, rule) in fields {
        let path = format!("spec.{field}");
        for invalid in ["Upper", "-a", "a-", "a_b", "a b", ".a", "a..b", "ä", "a\n"] {
            cases.push(Case::new(
                &format!("{field} {invalid:?}"),
                json!({field: invalid}),
                &[&path, rule, "lower-case letters"],
            ));
        }
        let words = [&path, "should be at least 1 chars long"];
        cases.push(Case::new(&format!("{field} empty"), json!({field: ""}), &words));
        let words = [&path, &*format!("may not be more than {longest} bytes")];
        let long = json!({field: "a".repeat(longest + 1)});
        cases.push(Case::new(&format!("{field} too long"), long, &words));
    }
    let dots = json!({"destinationNamespace": "a.b"});
    cases.push(Case::new("a namespace with a dot", dots, &["must be a valid namespace name"]));
    cases
}

fn destinations() -> Vec<Case> {
    let one = "set exactly one of destinationNamespace and destinationNamespaceSelector";
    let same = "source and destination are the same ConfigMap";
    let root = "kube-root-ca.crt is published by Kubernetes in every namespace";
    let to_itself = json!({"destinationNamespace": "central", "destinationName": "shared"});
    vec![
        Case::new("both destinations", json!({"destinationNamespaceSelector": {}}), &[one]),
        Case::new("no destination", json!({"destinationNamespace": null}), &[one]),
        Case::new("to itself", json!({"destinationNamespace": "central"}), &[same, "set another"]),
        Case::new("to itself by name", to_itself, &[same, "set another"]),
        Case::new(
            "the root certificate",
            json!({"configMapName": "kube-root-ca.crt"}),
            &[root, "set destinationName to another name"],
        ),
        Case::new(
            "over the root certificate",
            json!({"destinationName": "kube-root-ca.crt"}),
            &[root],
        ),
    ]
}

fn keys() -> Vec<Case> {
    let many: Vec<_> = (0..513).map(|number| format!("key-{number}")).collect();
    let item = "spec.keys[0]";
    vec![
        Case::new("no keys", json!({"keys": []}), &["spec.keys", "should have at least 1 items"]),
        Case::new(
            "too many keys",
            json!({"keys": many}),
            &["spec.keys", "must have at most 512 items"],
        ),
        Case::new("a key twice", json!({"keys": ["a", "a"]}), &["spec.keys[1]", "Duplicate value"]),
        Case::new("a bad key", json!({"keys": ["a/b"]}), &[item, "should match"]),
        Case::new(
            "an empty key",
            json!({"keys": [""]}),
            &[item, "should be at least 1 chars long"],
        ),
        Case::new(
            "a long key",
            json!({"keys": ["a".repeat(254)]}),
            &[item, "may not be more than 253 bytes"],
        ),
    ]
}

fn policies() -> Vec<Case> {
    let fields = [
        ("deletionPolicy", ["\"Delete\"", "\"Retain\""]),
        ("sourceDeletionPolicy", ["\"Retain\"", "\"Delete\""]),
        ("conflictPolicy", ["\"Refuse\"", "\"Adopt\""]),
    ];
    let cases = fields.map(|(field, [one, other])| {
        let words =
            [&*format!("spec.{field}"), "Unsupported value", "supported values", one, other];
        Case::new(&format!("an unknown {field}"), json!({field: "delete"}), &words)
    });
    Vec::from(cases)
}

fn metadata() -> Vec<Case> {
    let mut cases = Vec::new();
    for map in ["labels", "annotations"] {
        let path = format!("spec.destinationMetadata.{map}");
        let with = |entries: Value| json!({"destinationMetadata": {map: entries}});
        for key in [
            "apps.nishaf.info/synced-by",
            "APPS.nishaf.info/synced-by",
            "app.kubernetes.io/managed-by",
        ] {
            let words = [&*path, "are reserved for the operator: remove them"];
            cases.push(Case::new(&format!("{map} {key}"), with(json!({key: "a"})), &words));
        }
        let many: Map<_, _> =
            (0..65).map(|number| (format!("key-{number}"), json!("value"))).collect();
        let words = [&*path, "must have at most 64 items"];
        cases.push(Case::new(&format!("too many {map}"), with(many.into()), &words));
        let longest = if map == "labels" { 63 } else { 4_096 };
        let long = with(json!({"note": "a".repeat(longest + 1)}));
        let words = [&*path, &*format!("may not be more than {longest} bytes")];
        cases.push(Case::new(&format!("long {map}"), long, &words));
    }
    cases
}

fn shape() -> Vec<Case> {
    let missing = |field: &str| {
        let words = [&*format!("spec.{field}"), "Required value"];
        Case::new(&format!("no {field}"), json!({field: null}), &words)
    };
    let unknown = |what: &str, value, field: &str| {
        Case::new(what, value, &[&*format!("unknown field \"spec.{field}\"")])
    };
    let nested = json!({"destinationMetadata": {"label": {}}});
    vec![
        missing("sourceNamespace"),
        missing("configMapName"),
        unknown("a misspelt field", json!({"configmapName": "a"}), "configmapName"),
        unknown("a misspelt field deeper", nested, "destinationMetadata.label"),
        Case::new("a spec that is text", json!("text"), &["spec", "must be of type object"]),
        Case::new("no spec", json!(null), &["spec", "Required value"]),
    ]
}

/// Invalid statuses.
pub fn statuses() -> Vec<Case> {
    let negative = "should be greater than or equal to 0";
    let mut cases =
        vec![Case::new("keys below zero", json!({"keys": -1}), &["status.keys", negative])];
    for field in ["desired", "ready", "failed"] {
        let mut copies = json!({"desired": 1, "ready": 1, "failed": 1});
        copies[field] = json!(-1);
        let path = format!("status.copies.{field}");
        cases.push(Case::new(field, json!({"copies": copies}), &[&path, negative]));
    }
    let failure = json!({"namespace": "a", "reason": "b", "message": "c"});
    let many = json!({"failures": vec![failure; 11]});
    let words = ["status.failures", "must have at most 10 items"];
    cases.push(Case::new("too many failures", many, &words));
    let empty = json!({"copies": {}, "source": {}, "failures": [{}], "conditions": [{}]});
    let words = [
        "status.copies.desired",
        "status.source.uid",
        "status.failures[0].reason",
        "status.conditions[0].type",
        "Required value",
    ];
    cases.push(Case::new("an empty status", empty, &words));
    cases
}

/// The schema of the only version.
pub fn schema(definition: &CustomResourceDefinition) -> Result<Value> {
    let version = definition.spec.versions.first().context("no version")?;
    let schema = version.schema.as_ref().and_then(|it| it.open_api_v3_schema.as_ref());
    Ok(serde_json::to_value(schema.context("no schema")?)?)
}

/// Every rule and bound at and below `path`: its path, and the words of the API server when it is
/// violated.
pub fn bounds(schema: &Value, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |words: String| found.push((path.to_owned(), words));
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        add(rule["message"].as_str().unwrap_or("a rule without a message").to_owned());
    }
    for (bound, before, after) in [
        ("minLength", "should be at least ", " chars long"),
        ("maxLength", "may not be more than ", " bytes"),
        ("minItems", "should have at least ", " items"),
        ("maxItems", "must have at most ", " items"),
        ("maxProperties", "must have at most ", " items"),
    ] {
        if let Some(limit) = schema[bound].as_i64() {
            add(format!("{before}{limit}{after}"));
        }
    }
    for (bound, words) in [
        ("enum", "Unsupported value"),
        ("pattern", "should match"),
        ("minimum", "should be greater than or equal to 0"),
    ] {
        if !schema[bound].is_null() {
            add(words.to_owned());
        }
    }
    if schema["x-kubernetes-list-type"] == "set" {
        add("Duplicate value".to_owned());
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str().unwrap_or_default();
        found.push((format!("{path}.{field}"), "Required value".to_owned()));
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(bounds(schema, &format!("{path}.{field}")));
    }
    if schema["items"].is_object() {
        found.extend(bounds(&schema["items"], &format!("{path}[0]")));
    }
    if schema["additionalProperties"].is_object() {
        found.extend(bounds(&schema["additionalProperties"], path));
    }
    found
}
