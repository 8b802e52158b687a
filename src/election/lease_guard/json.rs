//! Conversion between a [`LeaseView`] and the JSON of requests and responses.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::election::lease_guard::observation::LeaseView;

/// In the past on any machine's clock: the crate treats the Lease as expired.
const PAST: &str = "1970-01-01T00:00:01.000000Z";
/// In the future on any machine's clock, and small enough for the crate to add a duration.
const FUTURE: &str = "9000-01-01T00:00:00.000000Z";

/// The resourceVersion of an object.
pub fn resource_version(object: &Value) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned)
}

/// The object that shows `view`: `lease`, or a new one of that `name`, with its spec replaced.
/// `None` if the view is [`LeaseView::Missing`].
pub fn rewrite(lease: Option<Value>, name: &str, view: &LeaseView) -> Option<Value> {
    let LeaseView::Lease { holder, is_free, transitions } = view else { return None };
    let mut lease = lease.unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
        })
    });
    lease["spec"] = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": 1,
        "leaseTransitions": transitions,
        "renewTime": if *is_free { PAST } else { FUTURE },
    });
    Some(lease)
}

/// The merge patch `body`, with `version` as precondition. `None` if `body` is not a JSON object.
pub fn conditional(body: &[u8], version: &str) -> Option<Vec<u8>> {
    let mut patch: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
    metadata.as_object_mut()?.insert("resourceVersion".to_owned(), json!(version));
    serde_json::to_vec(&patch).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_gets_a_precondition_and_keeps_its_fields() {
        let patch = br#"{"metadata":{"name":"a"},"spec":{"renewTime":"now"}}"#;
        let patch: Value = serde_json::from_slice(&conditional(patch, "7").unwrap()).unwrap();
        let expected = json!({
            "metadata": {"name": "a", "resourceVersion": "7"},
            "spec": {"renewTime": "now"},
        });
        assert_eq!(patch, expected);
    }

    #[test]
    fn a_body_that_is_not_an_object_gets_no_precondition() {
        for body in [&b"[]"[..], b"", br#"{"metadata":7}"#] {
            assert_eq!(conditional(body, "7"), None);
        }
    }
}
