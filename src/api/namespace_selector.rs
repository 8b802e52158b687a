//! The schema of `spec.destinationNamespaceSelector`.
//!
//! The API server does not validate a label selector inside a custom resource. A key that no label
//! can have would make `NotIn` and `DoesNotExist` select every namespace.

use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde_json::Value;
use serde_json::json;

/// Maximum number of entries of `matchLabels` and of `matchExpressions`. Like [`MAX_VALUES`], it bounds
/// the cost of the rules.
const MAX_ENTRIES: u32 = 64;
/// Maximum number of values of an expression.
const MAX_VALUES: u32 = 256;
/// Maximum length of a label value.
const MAX_VALUE: u32 = 63;
/// Maximum length of a label key: a prefix of 253 characters, `/`, and a name of 63.
const MAX_KEY: u32 = 317;

/// A metav1.LabelSelector whose keys and values can be labels.
pub(super) fn namespace_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": match_labels(),
            "matchExpressions": {
                "type": "array",
                "description": "Requirements that a namespace must meet, all of them. At most 64.",
                "items": requirement(),
                "maxItems": MAX_ENTRIES,
            },
        },
    })
}

fn match_labels() -> Value {
    let rule = format!("self.all(key, {})", is_label_key("key"));
    json!({
        "type": "object",
        "description": "Labels that a namespace must have, all of them. At most 64.",
        "additionalProperties": label_value(),
        "maxProperties": MAX_ENTRIES,
        "x-kubernetes-validations": [{"rule": rule, "message": KEY_MESSAGE}],
    })
}

fn requirement() -> Value {
    let operators = ["In", "NotIn", "Exists", "DoesNotExist"];
    json!({
        "type": "object",
        "description": "A requirement on one label.",
        "properties": {
            "key": {
                "type": "string",
                "description": "Key of the label.",
                "minLength": 1,
                "maxLength": MAX_KEY,
                "x-kubernetes-validations": [{"rule": is_label_key("self"), "message": KEY_MESSAGE}],
            },
            "operator": {
                "type": "string",
                "description": "`In`: the label has one of the values. `NotIn`: it has none of them, \
                                or is absent. `Exists`: it is present. `DoesNotExist`: it is absent.",
                "enum": operators,
            },
            "values": {
                "type": "array",
                "description": "Values of the label, at most 256. Required with `In` and `NotIn`, \
                                and not allowed with `Exists` and `DoesNotExist`.",
                "items": label_value(),
                "maxItems": MAX_VALUES,
            },
        },
        "required": ["key", "operator"],
        "x-kubernetes-validations": [{
            "rule": "!has(self.operator) || (self.operator in ['In', 'NotIn']) == \
                     (has(self.values) && self.values.size() > 0)",
            "message": "In and NotIn require values, and Exists and DoesNotExist must not have \
                        values: correct the expression",
        }],
    })
}

fn label_value() -> Value {
    json!({
        "type": "string",
        "maxLength": MAX_VALUE,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
            "message": "must be a valid label value: letters, digits, '-', '_' and '.', beginning \
                        and ending with a letter or digit, or empty",
        }],
    })
}

const KEY_MESSAGE: &str = "must be a valid label key: a name of at most 63 letters, digits, '-', \
    '_' and '.', beginning and ending with a letter or digit, optionally after a DNS subdomain and '/'";

/// The CEL expression that `key` is the key of a label.
fn is_label_key(key: &str) -> String {
    let part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    let prefix = format!("({part}([.]{part})*/)?");
    let name = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
    format!("{key}.matches('^{prefix}{name}$') && {key}.indexOf('/') <= 253")
}
