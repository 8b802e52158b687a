//! The operator keeps to its own copies.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use crate::names;
use crate::policies::Failing;
use crate::policies::Operator;
use crate::policies::Policy;
use crate::policies::demand;
use crate::policies::requests;

/// The operator writes and deletes only `ConfigMap`s that carry our label, before or after, and
/// none in protected namespaces: its rights, which RBAC cannot limit further, are worth no more to
/// whoever gets hold of them.
///
/// Before *or* after: one is adopted by putting the label on, and released by taking it off.
#[must_use]
pub fn bounds(operator: &Operator) -> Policy {
    let protected = &operator.protected_namespaces;
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests("", "configmaps", &["CREATE", "UPDATE", "DELETE"])),
        match_conditions: Some(vec![operator.asks()]),
        validations: Some(vec![
            demand(
                format!("{} || {}", is_marked("object"), is_marked("oldObject")),
                &format!(
                    "the operator writes only ConfigMaps that carry the label {}: if this is the \
                     operator, report it as a defect; if not, the token of its ServiceAccount is \
                     in the wrong hands",
                    names::LABEL_SYNC_UID,
                ),
            ),
            // Split, so that the list needs no quotes of its own.
            demand(
                format!("!(request.namespace in '{protected}'.split(','))"),
                "the namespace is protected, and the operator writes nothing there: choose \
                 another destination, or change the list of protected namespaces, which is a flag \
                 of the operator and part of this policy",
            ),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_BOUNDS, Failing::Closed, spec)
}

/// There is no new object in a deletion, and no old one in a creation.
fn is_marked(object: &str) -> String {
    let label = names::LABEL_SYNC_UID;
    format!("({object} != null && {object}.metadata.?labels[?'{label}'].hasValue())")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_own_namespace_is_protected_by_default() {
        let protected = Operator::default().protected_namespaces;
        assert_eq!(protected, "kube-system,kube-public,kube-node-lease,configmapsync");
    }
}
