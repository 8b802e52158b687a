//! The fields of a Lease that the guard compares.

use serde_json::Value;

/// The duration that the crate writes when it releases a Lease.
const RELEASED_SECONDS: i64 = 1;

/// The fields of a Lease, as stored. Times are text: they are only compared for equality, and a
/// value that is not a time must be readable, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// `metadata.uid`: a Lease that was deleted and created again is a different one.
    pub uid: Option<String>,
    /// `spec.holderIdentity`
    pub holder: Option<String>,
    /// `spec.leaseDurationSeconds`
    pub duration_seconds: Option<i64>,
    /// `spec.acquireTime`
    pub acquire_time: Option<String>,
    /// `spec.renewTime`
    pub renew_time: Option<String>,
    /// `spec.leaseTransitions`
    pub transitions: Option<i64>,
}

// === impl Record ===

impl Record {
    /// Reads a Lease object. A field that is missing or has another type is `None`.
    #[must_use]
    pub fn from_json(lease: &Value) -> Self {
        let (metadata, spec) = (&lease["metadata"], &lease["spec"]);
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Self {
            uid: text(&metadata["uid"]),
            holder: text(&spec["holderIdentity"]),
            duration_seconds: spec["leaseDurationSeconds"].as_i64(),
            acquire_time: text(&spec["acquireTime"]),
            renew_time: text(&spec["renewTime"]),
            transitions: spec["leaseTransitions"].as_i64(),
        }
    }

    /// Whether the last holder released the Lease, after which it does not write.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.holder.as_deref() == Some("") && self.duration_seconds == Some(RELEASED_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Record {
        Record {
            uid: Some("uid".to_owned()),
            holder: Some("other".to_owned()),
            duration_seconds: Some(15),
            acquire_time: Some("2026-01-01T00:00:00.000000Z".to_owned()),
            renew_time: Some("2026-01-02T03:04:05.000000Z".to_owned()),
            transitions: Some(3),
        }
    }

    #[test]
    fn any_stored_value_can_be_read() {
        let lease =
            json!({"metadata": {"uid": "u"}, "spec": {"renewTime": "9999-12-31T23:59:59Z"}});
        let expected = Record {
            uid: Some("u".to_owned()),
            renew_time: Some("9999-12-31T23:59:59Z".to_owned()),
            ..Record::default()
        };
        assert_eq!(Record::from_json(&lease), expected);
        assert_eq!(Record::from_json(&json!({"metadata": {}})), Record::default());
        assert_eq!(Record::from_json(&json!("no object")), Record::default());
    }

    #[test]
    fn only_a_lease_released_by_its_holder_is_released() {
        let released =
            Record { holder: Some(String::new()), duration_seconds: Some(1), ..record() };
        assert!(released.is_released());
        assert!(!Record { holder: None, ..released.clone() }.is_released());
        assert!(!Record { duration_seconds: Some(15), ..released.clone() }.is_released());
        assert!(!Record { holder: record().holder, ..released }.is_released());
        assert!(!Record::default().is_released());
    }
}
