//! What the API server itself refuses, whatever the operator believes.
//!
//! Four admission policies, each with one binding of the same name. They are values like the
//! permissions, and installed like them; the operator never writes one.
//!
//! | policy | holds whom | to what |
//! |---|---|---|
//! | [`fence`] | the operator's pods | only the announced leader writes copies |
//! | [`consent`] | authors of a `ConfigMapSync` | what they may do themselves, on both sides |
//! | [`marks`] | everybody who writes a `ConfigMap` | our marks are put on by those who may stamp |
//! | [`bounds`] | the operator | copies alone, and none in protected namespaces |
//!
//! Three of them fail closed: they have no parameter, so that nothing they read can be missing,
//! and an expression that cannot be evaluated must not let a write pass. The fence fails open:
//! why, it says itself. A refusal is always `Forbidden` (403): without that the answer would be
//! 422, as if the object were wrong.
//!
//! One check by the authorizer costs a third of what one expression may cost, hence never more
//! than two in an expression.

mod bounds;
mod consent;
mod fence;
mod marks;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use k8s_openapi::api::admissionregistration::v1::MatchResources;
use k8s_openapi::api::admissionregistration::v1::NamedRuleWithOperations;
use k8s_openapi::api::admissionregistration::v1::ParamRef;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBindingSpec;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use k8s_openapi::api::admissionregistration::v1::Validation;
use k8s_openapi::api::admissionregistration::v1::Variable;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::names;

pub use bounds::bounds;
pub use consent::consent;
pub use fence::fence;
pub use marks::marks;

/// A policy, and the binding that puts it to work.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is refused.
    pub policy: ValidatingAdmissionPolicy,
    /// That it is refused.
    pub binding: ValidatingAdmissionPolicyBinding,
}

/// The operator as the policies have to know it.
///
/// Each field stands in quoted text of an expression; in a chart it may be a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The namespace that it runs in.
    pub namespace: String,
    /// The name of its ServiceAccount.
    pub service_account: String,
    /// The namespaces that it must not write to, its own among them, with commas between.
    pub protected_namespaces: String,
}

/// Whether what cannot be evaluated is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    Closed,
    Open,
}

// === impl Operator ===

impl Default for Operator {
    /// Installed under the default names.
    fn default() -> Self {
        Self {
            namespace: names::INSTALLATION.to_owned(),
            service_account: names::INSTALLATION.to_owned(),
            protected_namespaces: format!(
                "{},{}",
                names::PROTECTED_NAMESPACES,
                names::INSTALLATION
            ),
        }
    }
}

impl Operator {
    /// True of requests that the operator makes.
    fn asks(&self) -> MatchCondition {
        let Self { namespace, service_account, .. } = self;
        condition(
            "asked-by-the-operator",
            format!(
                "request.userInfo.username == 'system:serviceaccount:{namespace}:{service_account}'"
            ),
        )
    }
}

// === impl Policy ===

impl Policy {
    fn new(name: &str, failing: Failing, spec: ValidatingAdmissionPolicySpec) -> Self {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let failure_policy = match failing {
            Failing::Closed => "Fail",
            Failing::Open => "Ignore",
        };
        let spec = ValidatingAdmissionPolicySpec {
            failure_policy: Some(failure_policy.to_owned()),
            ..spec
        };
        let binding = ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(name.to_owned()),
            validation_actions: Some(vec!["Deny".to_owned()]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        };
        Self {
            policy: ValidatingAdmissionPolicy {
                metadata: metadata.clone(),
                spec: Some(spec),
                status: None,
            },
            binding: ValidatingAdmissionPolicyBinding { metadata, spec: Some(binding) },
        }
    }

    fn with_parameter(mut self, parameter: ParamRef) -> Self {
        if let Some(spec) = &mut self.binding.spec {
            spec.param_ref = Some(parameter);
        }
        self
    }
}

/// All four, for `operator`.
#[must_use]
pub fn all(operator: &Operator) -> [Policy; 4] {
    [fence(operator), consent(), marks(), bounds(operator)]
}

/// Requests for `resource`, never for its subresources.
fn requests(group: &str, resource: &str, operations: &[&str]) -> MatchResources {
    let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    MatchResources {
        resource_rules: Some(vec![NamedRuleWithOperations {
            api_groups: list(&[group]),
            api_versions: list(&["v1"]),
            operations: list(operations),
            resources: list(&[resource]),
            ..NamedRuleWithOperations::default()
        }]),
        ..MatchResources::default()
    }
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

fn variable(name: &str, expression: String) -> Variable {
    Variable { name: name.to_owned(), expression }
}

/// Refuses what `expression` is not true of.
fn demand(expression: String, message: &str) -> Validation {
    Validation {
        expression,
        message: Some(message.to_owned()),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> impl Iterator<Item = (String, ValidatingAdmissionPolicySpec)> {
        all(&Operator::default())
            .map(|it| (it.policy.metadata.name.unwrap(), it.policy.spec.unwrap()))
            .into_iter()
    }

    #[test]
    fn each_binding_has_the_name_of_its_policy_and_denies() {
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
    fn every_refusal_is_forbidden_and_says_what_to_do() {
        for (name, spec) in specs() {
            for validation in spec.validations.unwrap() {
                assert_eq!(validation.reason.as_deref(), Some("Forbidden"), "{name}");
                let message = validation.message.unwrap();
                assert!(message.contains(": ") && !message.contains('\n'), "{name}: {message}");
            }
        }
    }

    #[test]
    fn no_expression_asks_the_authorizer_more_than_twice() {
        for (name, spec) in specs() {
            for validation in spec.validations.unwrap() {
                let asked = validation.expression.matches(".check(").count();
                assert!(asked <= 2, "{name}: {}", validation.expression);
            }
        }
    }

    #[test]
    fn only_what_has_a_parameter_that_may_be_missing_fails_open() {
        for (name, spec) in specs() {
            let expected = if spec.param_kind.is_some() { "Ignore" } else { "Fail" };
            assert_eq!(spec.failure_policy.as_deref(), Some(expected), "{name}");
        }
    }
}
