//! The `ValidatingAdmissionPolicies`: requests that the API server denies, independently of the
//! operator's own checks.
//!
//! There are four, each with one binding of the same name. They are generated from these values
//! into the chart and into `deploy`; the operator has no permission to write them. `consent` does not
//! depend on the installation: it is installed and kept with the `CustomResourceDefinition`s, so that
//! no `ConfigMapSync` is written unchecked while no operator is installed.
//!
//! | policy | applies to | allows |
//! |---|---|---|
//! | [`fence`] | the operator's pods | writes of copies by the pod in the leader record only |
//! | [`consent`] | authors of a `ConfigMapSync` | specs that need no permission the author lacks |
//! | [`marks`] | writers of a `ConfigMap` | ownership markers set by holders of the verb `stamp` only |
//! | [`bounds`] | the operator | writes of copies only, outside protected namespaces |
//!
//! # Guarantees
//! * `consent`, `marks` and `bounds` fail closed: they have no parameter that could be missing, and
//!   a request whose expression cannot be evaluated is denied. `fence` fails open; its
//!   documentation gives the reason.
//! * A denial has the reason `Forbidden` (403). The default reason, `Invalid` (422), would blame the
//!   object.
//! * An expression calls the authorizer at most twice: each call costs a third of the CEL cost
//!   limit of one expression.

mod bounds;
mod consent;
mod fence;
mod marks;
mod policy;

pub use bounds::bounds;
pub use bounds::protected_namespaces;
pub use consent::consent;
pub use fence::fence;
pub use marks::marks;
pub use policy::Operator;
pub use policy::Policy;

/// All four policies, for this installation.
#[must_use]
pub fn all(operator: &Operator) -> [Policy; 4] {
    let [fence, marks, bounds] = of_installation(operator);
    [fence, consent(), marks, bounds]
}

/// The policies that are installed and removed with the operator.
#[must_use]
pub fn of_installation(operator: &Operator) -> [Policy; 3] {
    [fence(operator), marks(), bounds(operator)]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;

    use super::*;
    use crate::names;

    fn specs() -> impl Iterator<Item = (String, ValidatingAdmissionPolicySpec)> {
        all(&Operator::default())
            .map(|it| (it.policy.metadata.name.unwrap(), it.policy.spec.unwrap()))
            .into_iter()
    }

    #[test]
    fn each_policy_has_a_denying_binding_of_the_same_name() {
        let names =
            [names::POLICY_FENCE, names::POLICY_CONSENT, names::POLICY_MARKS, names::POLICY_BOUNDS];
        for (Policy { policy, binding }, name) in all(&Operator::default()).iter().zip(names) {
            assert_eq!(policy.metadata.name.as_deref(), Some(name));
            assert_eq!(binding.metadata.name.as_deref(), Some(name));
            let spec = binding.spec.clone().unwrap();
            assert_eq!(spec.policy_name.as_deref(), Some(name));
            assert_eq!(spec.validation_actions, Some(vec!["Deny".to_owned()]));
        }
    }

    #[test]
    fn every_denial_is_forbidden_with_a_remedy() {
        for (name, spec) in specs() {
            for validation in spec.validations.unwrap() {
                assert_eq!(validation.reason.as_deref(), Some("Forbidden"), "{name}");
                let message = validation.message.unwrap();
                assert!(message.contains(": ") && !message.contains('\n'), "{name}: {message}");
            }
        }
    }

    #[test]
    fn an_expression_calls_the_authorizer_at_most_twice() {
        for (name, spec) in specs() {
            for validation in spec.validations.unwrap() {
                let calls = validation.expression.matches(".check(").count();
                assert!(calls <= 2, "{name}: {}", validation.expression);
            }
        }
    }

    #[test]
    fn only_the_policy_with_a_parameter_fails_open() {
        for (name, spec) in specs() {
            let expected = if spec.param_kind.is_some() { "Ignore" } else { "Fail" };
            assert_eq!(spec.failure_policy.as_deref(), Some(expected), "{name}");
        }
    }
}
