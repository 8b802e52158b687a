//! Our marks are put on by those who may stamp.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use crate::decide::Markers;
use crate::names;
use crate::policies::Failing;
use crate::policies::Policy;
use crate::policies::condition;
use crate::policies::demand;
use crate::policies::requests;

/// Only those who are allowed the verb `stamp` on `configmapsyncs` in the whole cluster add or
/// change a mark: the operator, and by their wildcard cluster administrators and backup tools.
///
/// It is about the marks by their exact keys, not about all that begins with our prefix: `no-copy`
/// belongs to the source's owner. Taking marks away is free to whoever may update the `ConfigMap`,
/// since it can only save it; so is everything else that leaves them as they are. A right in one
/// namespace does not count, or the wildcard of its administrator would.
#[must_use]
pub fn marks() -> Policy {
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests("", "configmaps", &["CREATE", "UPDATE"])),
        match_conditions: Some(vec![condition(
            "marks-are-added-or-changed",
            format!(
                "{} || {}",
                added_or_changed("labels", &[names::LABEL_SYNC_UID]),
                added_or_changed("annotations", &Markers::ANNOTATIONS),
            ),
        )]),
        validations: Some(vec![demand(
            format!(
                "authorizer.group('{}').resource('configmapsyncs').check('{}').allowed()",
                names::GROUP,
                names::VERB_STAMP,
            ),
            &format!(
                "only ConfigMapSync marks a ConfigMap as its copy: leave out the label {} and the \
                 annotations {}; or, to restore copies from a backup, ask for the verb {} on \
                 configmapsyncs.{} in the whole cluster",
                names::LABEL_SYNC_UID,
                Markers::ANNOTATIONS.join(", "),
                names::VERB_STAMP,
                names::GROUP,
            ),
        )]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_MARKS, Failing::Closed, spec)
}

/// True if one of `keys` has a value in `map` that it did not have before.
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
    fn it_asks_about_every_mark_and_about_no_other_key_of_ours() {
        let conditions = marks().policy.spec.unwrap().match_conditions.unwrap();
        let [condition] = &conditions[..] else { panic!("{conditions:?}") };
        let quoted: Vec<_> = condition.expression.split('\'').skip(1).step_by(2).collect();
        let mut expected = vec![names::LABEL_SYNC_UID];
        expected.extend(Markers::ANNOTATIONS);
        assert_eq!(quoted, expected);
        assert!(!quoted.contains(&names::ANNOTATION_NO_COPY));
    }
}
