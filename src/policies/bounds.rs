//! The policy `configmapsync-bounds`: the operator writes only copies.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

use crate::names;
use crate::policies::policy::Failure;
use crate::policies::policy::Operator;
use crate::policies::policy::Policy;
use crate::policies::policy::requests;
use crate::policies::policy::require;

/// Denies writes by the operator's ServiceAccount to `ConfigMap`s without the uid label, and to all
/// `ConfigMap`s in protected namespaces.
///
/// RBAC can limit neither. The policy limits what a stolen token of the operator can be used for.
///
/// The label may be on the old or on the new object: adoption adds it, and release removes it.
#[must_use]
pub fn bounds(operator: &Operator) -> Policy {
    let protected = &operator.protected_namespaces;
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests("", "configmaps", &["CREATE", "UPDATE", "DELETE"])),
        match_conditions: Some(vec![operator.is_client()]),
        validations: Some(vec![
            require(
                format!("{} || {}", has_label("object"), has_label("oldObject")),
                &format!(
                    "the operator may write only ConfigMaps that carry the label {}: if the \
                     operator sent this request, report a bug; otherwise another client uses a \
                     token of the operator's ServiceAccount: revoke that token",
                    names::LABEL_SYNC_UID,
                ),
            ),
            require(
                format!("!({})", is_in(protected)),
                "the namespace is protected, and the operator must not write to it: choose another \
                 destination, or change the list of protected namespaces (the chart value \
                 protectedNamespaces; without Helm, the flag --protected-namespaces and this \
                 policy)",
            ),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_BOUNDS, Failure::Closed, spec)
}

/// Whether the request is for one of the namespaces in `list`, which has the form of
/// [`NamespacePatterns`]: no character of an item but `*` is special in a regular expression.
///
/// One string, because a Helm template can insert it more easily than a CEL list.
///
/// [`NamespacePatterns`]: crate::api::namespace_patterns::NamespacePatterns
fn is_in(list: &str) -> String {
    let matches = "request.namespace.matches('^' + it.replace('*', '.*') + '$')";
    format!(
        "'{list}'.split(',').exists(it, it == request.namespace || (it.contains('*') && {matches}))"
    )
}

/// The list of protected namespaces in a policy that has the form of [`bounds`].
#[must_use]
pub fn protected_namespaces(spec: &ValidatingAdmissionPolicySpec) -> Option<&str> {
    let mut expressions = spec.validations.iter().flatten().map(|it| it.expression.as_str());
    let list = expressions.find_map(|it| it.strip_prefix("!('"))?;
    list.split_once('\'').map(|(list, _)| list)
}

/// Whether `object` has the uid label. It is null: the new object on DELETE, the old one on CREATE.
fn has_label(object: &str) -> String {
    let label = names::LABEL_SYNC_UID;
    format!("({object} != null && {object}.metadata.?labels[?'{label}'].hasValue())")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_namespace_is_protected_by_default() {
        let protected = Operator::default().protected_namespaces;
        assert_eq!(protected, "kube-system,kube-public,kube-node-lease,configmapsync");
    }

    #[test]
    fn the_list_of_protected_namespaces_is_found_in_the_policy() {
        let list = "kube-system,openshift-*";
        let operator = Operator { protected_namespaces: list.to_owned(), ..Operator::default() };
        let spec = bounds(&operator).policy.spec.unwrap();
        assert_eq!(protected_namespaces(&spec), Some(list));
        let other = ValidatingAdmissionPolicySpec::default();
        assert_eq!(protected_namespaces(&other), None);
    }
}
