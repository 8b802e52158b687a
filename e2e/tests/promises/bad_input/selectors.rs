//! Invalid selectors of namespaces, and words that their refusal must contain.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::bad_input::cases::Case;

/// Keys that no label has.
pub const KEYS: [&str; 8] =
    ["team name", "-team", "team-", "a/b/c", "/team", "team/", "Example.com/team", "t\u{e4}m"];
/// Values that no label has.
pub const VALUES: [&str; 4] = ["a b", "-a", "a-", "a/b"];

const KEY_RULE: &str = "must be a valid label key";
const VALUE_RULE: &str = "must be a valid label value";

/// A merge patch from a named destination to a selector.
pub fn selecting(selector: &Value) -> Value {
    json!({"destinationNamespace": null, "destinationNamespaceSelector": selector})
}

/// A selector with one expression.
pub fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    let mut expression = json!({"key": key, "operator": operator});
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    json!({"matchExpressions": [expression]})
}

/// Merge patches that make a valid spec invalid.
pub fn specs() -> Vec<Case> {
    [labels(), keys(), values(), operators(), bounds()].into_iter().flatten().collect()
}

fn path(field: &str) -> String {
    format!("spec.destinationNamespaceSelector.{field}")
}

fn labels() -> Vec<Case> {
    let case = |what: String, key: &str, value: &str, words: &[&str]| {
        Case::new(&what, selecting(&json!({"matchLabels": {key: value}})), words)
    };
    let at_map = path("matchLabels");
    let long = "n".repeat(64);
    let keys = KEYS.into_iter().chain([&*long, ""]);
    let keys = keys.map(|key| case(format!("the label {key:?}"), key, "a", &[&*at_map, KEY_RULE]));
    let at_value = path("matchLabels[team]");
    let values = VALUES.into_iter().map(|value| {
        case(format!("the label value {value:?}"), "team", value, &[&*at_value, VALUE_RULE])
    });
    let words = [&*path("matchLabels.team"), "may not be more than 63 bytes"];
    let too_long = case("a long label value".to_owned(), "team", &long, &words);
    keys.chain(values).chain([too_long]).collect()
}

fn keys() -> Vec<Case> {
    let at = path("matchExpressions[0].key");
    let long = [format!("{}/a", "p".repeat(254)), "n".repeat(64)];
    let invalid = KEYS.into_iter().chain(long.iter().map(String::as_str));
    let cases = invalid.map(|key| {
        let selector = expression(key, "DoesNotExist", &[]);
        Case::new(&format!("the key {key:?}"), selecting(&selector), &[&at, KEY_RULE])
    });
    let case = |what: &str, key: &str, words: &str| {
        Case::new(what, selecting(&expression(key, "Exists", &[])), &[&at, words])
    };
    let bounds = [
        case("an empty key of an expression", "", "should be at least 1 chars long"),
        case("a long key of an expression", &"a".repeat(318), "may not be more than 317 bytes"),
    ];
    cases.chain(bounds).collect()
}

fn values() -> Vec<Case> {
    let at = path("matchExpressions[0].values[0]");
    let case = |value: &str, rule: &str| {
        let selector = expression("team", "NotIn", &[value]);
        Case::new(&format!("the value {value:?}"), selecting(&selector), &[&at, rule])
    };
    let long = case(&"v".repeat(64), "may not be more than 63 bytes");
    VALUES.into_iter().map(|value| case(value, VALUE_RULE)).chain([long]).collect()
}

fn operators() -> Vec<Case> {
    let at = path("matchExpressions[0]");
    let rule = "In and NotIn require values";
    let case = |operator: &str, values: &[&str], words: &[&str]| {
        let selector = expression("team", operator, values);
        Case::new(&format!("{operator} with {values:?}"), selecting(&selector), words)
    };
    let required = |what: &str, expression: Value, field: &str| {
        let selector = json!({"matchExpressions": [expression]});
        let at = format!("{at}.{field}");
        Case::new(what, selecting(&selector), &[&at, "Required value"])
    };
    let known = [&*format!("{at}.operator"), "Unsupported value", "\"DoesNotExist\""];
    vec![
        case("In", &[], &[&at, rule]),
        case("NotIn", &[], &[&at, rule]),
        case("Exists", &["a"], &[&at, rule]),
        case("DoesNotExist", &["a"], &[&at, rule]),
        case("Is", &["a"], &known),
        required("an expression without a key", json!({"operator": "Exists"}), "key"),
        required("an expression without an operator", json!({"key": "a"}), "operator"),
    ]
}

fn bounds() -> Vec<Case> {
    let labels: Map<_, _> = (0..65).map(|number| (format!("key-{number}"), json!("a"))).collect();
    let exists = json!({"key": "team", "operator": "Exists"});
    let values: Vec<_> = (0..257).map(|number| format!("value-{number}")).collect();
    let many_values = json!([{"key": "team", "operator": "In", "values": values}]);
    let case =
        |what: &str, selector: Value, words: &[&str]| Case::new(what, selecting(&selector), words);
    vec![
        case(
            "too many labels",
            json!({"matchLabels": labels}),
            &[&path("matchLabels"), "must have at most 64 items"],
        ),
        case(
            "too many expressions",
            json!({"matchExpressions": vec![exists; 65]}),
            &[&path("matchExpressions"), "must have at most 64 items"],
        ),
        case(
            "too many values",
            json!({"matchExpressions": many_values}),
            &[&path("matchExpressions[0].values"), "must have at most 256 items"],
        ),
    ]
}
