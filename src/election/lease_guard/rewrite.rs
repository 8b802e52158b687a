//! Between Leases as JSON and what is believed of them.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::election::lease_guard::Record;
use crate::election::lease_guard::Shown;

/// Long ago on any machine's clock: with this, the crate takes a Lease for expired.
const LONG_AGO: &str = "1970-01-01T00:00:01.000000Z";
/// In the far future on any machine's clock, and within what the crate can add a duration to.
const FAR_FUTURE: &str = "9000-01-01T00:00:00.000000Z";

/// A Lease as it came from the API server.
#[must_use]
pub fn record(lease: &Value) -> Record {
    let (metadata, spec) = (&lease["metadata"], &lease["spec"]);
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    Record {
        uid: text(&metadata["uid"]),
        holder: text(&spec["holderIdentity"]),
        duration_seconds: spec["leaseDurationSeconds"].as_i64(),
        acquire_time: text(&spec["acquireTime"]),
        renew_time: text(&spec["renewTime"]),
        transitions: spec["leaseTransitions"].as_i64(),
    }
}

/// The version of a Lease, or of any object.
pub fn resource_version(object: &Value) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned)
}

/// `lease` as it may be shown: its spec is replaced. `None` if there is none to be shown.
pub fn rewritten(lease: Option<Value>, name: &str, shown: &Shown) -> Option<Value> {
    let Shown::Lease { holder, is_free, transitions } = shown else { return None };
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
        "renewTime": if *is_free { LONG_AGO } else { FAR_FUTURE },
    });
    Some(lease)
}

/// The merge patch `body`, made conditional on `version`; `None` if it is no patch of an object.
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
    fn whatever_is_stored_can_be_read() {
        let lease =
            json!({"metadata": {"uid": "u"}, "spec": {"renewTime": "9999-12-31T23:59:59Z"}});
        let expected = Record {
            uid: Some("u".to_owned()),
            renew_time: Some("9999-12-31T23:59:59Z".to_owned()),
            ..Record::default()
        };
        assert_eq!(record(&lease), expected);
        assert_eq!(record(&json!({"metadata": {}})), Record::default());
        assert_eq!(record(&json!("no object")), Record::default());
    }

    #[test]
    fn a_patch_becomes_conditional_and_keeps_the_rest() {
        let patch = br#"{"metadata":{"name":"a"},"spec":{"renewTime":"now"}}"#;
        let patch: Value = serde_json::from_slice(&conditional(patch, "7").unwrap()).unwrap();
        let expected = json!({
            "metadata": {"name": "a", "resourceVersion": "7"},
            "spec": {"renewTime": "now"},
        });
        assert_eq!(patch, expected);
    }

    #[test]
    fn what_is_no_patch_of_an_object_is_not_made_one() {
        for body in [&b"[]"[..], b"", br#"{"metadata":7}"#] {
            assert_eq!(conditional(body, "7"), None);
        }
    }
}
