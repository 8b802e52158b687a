//! The `ValidatingAdmissionPolicies`: requests that the API server denies, independently of the
//! operator's own checks.
//!
//! There are four, each with one binding of the same name. They are generated from these values
//! into the chart and into `deploy/policies.yaml`; the operator has no permission to write them.
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

/// A policy and the binding that enforces it in the whole cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The rule.
    pub policy: ValidatingAdmissionPolicy,
    /// Its enforcement: `Deny`, in every namespace.
    pub binding: ValidatingAdmissionPolicyBinding,
}

/// The properties of an installation that the policies depend on.
///
/// Each field is inserted into a string literal of a CEL expression. In the chart, it is a Helm
/// template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The operator's namespace.
    pub namespace: String,
    /// The name of the operator's ServiceAccount.
    pub service_account: String,
    /// The namespaces that the operator must not write to, including its own: a comma-separated
    /// list.
    pub protected_namespaces: String,
}

/// Whether a request is denied if the policy cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It is denied.
    Closed,
    /// It is admitted.
    Open,
}

// === impl Operator ===

impl Default for Operator {
    /// An installation under the default names.
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
    /// Matches requests that are sent under the operator's ServiceAccount.
    fn is_client(&self) -> MatchCondition {
        let Self { namespace, service_account, .. } = self;
        condition(
            "request-from-operator",
            format!(
                "request.userInfo.username == 'system:serviceaccount:{namespace}:{service_account}'"
            ),
        )
    }
}

// === impl Policy ===

impl Policy {
    fn new(name: &str, failure: Failure, spec: ValidatingAdmissionPolicySpec) -> Self {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let failure_policy = match failure {
            Failure::Closed => "Fail",
            Failure::Open => "Ignore",
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

/// All four policies, for this installation.
#[must_use]
pub fn all(operator: &Operator) -> [Policy; 4] {
    [fence(operator), consent(), marks(), bounds(operator)]
}

/// Matches these operations on `resource`, excluding its subresources.
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

/// Denies requests for which `expression` is not true, with this message.
fn require(expression: String, message: &str) -> Validation {
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
