//! Does the API server refuse what it should?

use std::fmt::Debug;

use kube::Api;
use kube::Client;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;

use crate::commands::check::Finding;
use crate::commands::check::Question;
use crate::commands::check::State;
use crate::policies::Operator;
use crate::policies::Policy;
use crate::policies::all;

/// What the API server fills in where a policy or a binding says nothing.
const DEFAULTS: [(&str, &str); 4] = [
    ("failurePolicy", "Fail"),
    ("matchPolicy", "Equivalent"),
    ("reason", "Invalid"),
    ("scope", "*"),
];

/// Whether each policy and its binding are as this binary generates them.
pub async fn enforced(client: &Client, operator: &Operator) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Policy { policy, binding } in all(operator) {
        findings.push(look(client, &policy, &policy.spec, |it| it.spec.clone()).await);
        findings.push(look(client, &binding, &binding.spec, |it| it.spec.clone()).await);
    }
    findings
}

async fn look<K, S>(client: &Client, wanted: &K, spec: &S, spec_of: impl Fn(&K) -> S) -> Finding
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let name = wanted.meta().name.clone().unwrap_or_default();
    let subject = format!("{} {name}", K::kind(&()));
    let finding =
        |state, message: String| Finding::new(Question::Enforced, &subject, state, message);
    let api: Api<K> = Api::all(client.clone());
    let found = match api.get_opt(&name).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let message = "missing: what it refuses is not refused; install the chart with its \
                           policies on, or apply deploy/policies.yaml";
            return finding(State::Wrong, message.to_owned());
        }
        Err(error) => return Finding::unknown(Question::Enforced, &subject, &error),
    };
    let as_json = |spec: &S| serde_json::to_value(spec).unwrap_or_default();
    match difference(&as_json(spec), &as_json(&spec_of(&found))) {
        None => finding(State::Well, "as this binary generates it".to_owned()),
        Some(place) => finding(
            State::Wrong,
            format!(
                "spec{place} is not as this binary generates it: bring chart and binary to the \
                 same version, or see who has changed it"
            ),
        ),
    }
}

/// Where two specs differ first, beyond what the API server fills in.
fn difference(wanted: &Value, found: &Value) -> Option<String> {
    differs(&without_defaults(wanted), &without_defaults(found))
}

fn differs(wanted: &Value, found: &Value) -> Option<String> {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let [a, b] = [a, b].map(|map| map.get(key).unwrap_or(&Value::Null));
                differs(a, b).map(|place| format!(".{key}{place}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (a, b))| differs(a, b).map(|place| format!("[{index}]{place}")))
        }
        (a, b) => (a != b).then(String::new),
    }
}

fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key.clone(), without_defaults(value)));
            Value::Object(kept.filter(|(key, value)| !is_default(key, value)).collect())
        }
        Value::Array(list) => list.iter().map(without_defaults).collect(),
        other => other.clone(),
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    *value == Value::Null
        || *value == json!({})
        || *value == json!([])
        || DEFAULTS.iter().any(|(name, default)| key == *name && value == default)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the API server would answer to it.
    fn stored(spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["failurePolicy"] = spec.get("failurePolicy").cloned().unwrap_or(json!("Fail"));
        let matched = &mut spec["matchConstraints"];
        matched["matchPolicy"] = json!("Equivalent");
        matched["namespaceSelector"] = json!({});
        if matched["objectSelector"].is_null() {
            matched["objectSelector"] = json!({});
        }
        matched["resourceRules"][0]["scope"] = json!("*");
        spec
    }

    fn specs() -> impl Iterator<Item = Value> {
        let specs = all(&Operator::default()).map(|it| serde_json::to_value(it.policy.spec));
        specs.into_iter().map(Result::unwrap)
    }

    #[test]
    fn what_the_api_server_fills_in_is_no_difference() {
        for spec in specs() {
            assert_eq!(difference(&spec, &stored(&spec)), None);
        }
    }

    #[test]
    fn whatever_weakens_a_policy_is_one() {
        for spec in specs() {
            for (path, value) in [
                ("/validations/0/expression", json!("true")),
                ("/matchConstraints/namespaceSelector", json!({"matchLabels": {"a": "b"}})),
                ("/matchConstraints/resourceRules/0/operations", json!(["CREATE"])),
                ("/matchConditions", json!([{"name": "never", "expression": "false"}])),
            ] {
                let mut weak = stored(&spec);
                *weak.pointer_mut(path).unwrap() = value;
                assert!(difference(&spec, &weak).is_some(), "{path}");
            }
            let mut weak = stored(&spec);
            weak["failurePolicy"] = json!("Ignore");
            let is_fence = spec["failurePolicy"] == "Ignore";
            assert_eq!(difference(&spec, &weak).is_some(), !is_fence);
        }
    }

    #[test]
    fn the_place_is_named() {
        let place = difference(&json!({"a": [{"b": 1}]}), &json!({"a": [{"b": 2}]}));
        assert_eq!(place.as_deref(), Some(".a[0].b"));
    }
}
