//! The policy `configmapsync-marks`: who may set ownership markers.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use crate::decide::Markers;
use crate::names;
use crate::policies::policy::Failure;
use crate::policies::policy::Policy;
use crate::policies::policy::condition;
use crate::policies::policy::requests;
use crate::policies::policy::require;

/// Denies a `ConfigMap` with added or changed ownership markers, unless its author is allowed the
/// verb `stamp` on `configmapsyncs` cluster-wide. The operator has that permission; cluster
/// administrators and backup tools have it by their wildcard.
///
/// The policy lists the exact keys of the markers, not the prefix: `no-copy` belongs to the owner of
/// the source. Every author may remove markers, which releases the copy and never deletes it. A
/// permission in one namespace does not count: administrators of a namespace have all verbs there.
#[must_use]
pub fn marks() -> Policy {
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests("", "configmaps", &["CREATE", "UPDATE"])),
        match_conditions: Some(vec![condition(
            "markers-added-or-changed",
            format!(
                "{} || {}",
                added_or_changed("labels", &[names::LABEL_SYNC_UID]),
                added_or_changed("annotations", &Markers::ANNOTATIONS),
            ),
        )]),
        validations: Some(vec![require(
            format!(
                "authorizer.group('{}').resource('configmapsyncs').check('{}').allowed()",
                names::GROUP,
                names::VERB_STAMP,
            ),
            &format!(
                "you are not allowed to set the ownership markers of a copy: remove the label {} \
                 and the annotations {} from the ConfigMap; to restore copies from a backup, \
                 request the verb {} on configmapsyncs.{} in a ClusterRole",
                names::LABEL_SYNC_UID,
                Markers::ANNOTATIONS.join(", "),
                names::VERB_STAMP,
                names::GROUP,
            ),
        )]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_MARKS, Failure::Closed, spec)
}

/// True if one of `keys` is added to `map` or has another value.
fn added_or_changed(map: &str, keys: &[&str]) -> String {
    let keys = keys.iter().map(|key| format!("'{key}'")).collect::<Vec<_>>().join(", ");
    format!(
        "[{keys}].exists(key, object.metadata.?{map}[?key].hasValue() && (oldObject == null || \
         object.metadata.?{map}[?key] != oldObject.metadata.?{map}[?key]))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_and_no_other_key_is_protected() {
        let conditions = marks().policy.spec.unwrap().match_conditions.unwrap();
        let [condition] = &conditions[..] else { panic!("{conditions:?}") };
        let quoted: Vec<_> = condition.expression.split('\'').skip(1).step_by(2).collect();
        let mut expected = vec![names::LABEL_SYNC_UID];
        expected.extend(Markers::ANNOTATIONS);
        assert_eq!(quoted, expected);
        assert!(!quoted.contains(&names::ANNOTATION_NO_COPY));
    }
}
