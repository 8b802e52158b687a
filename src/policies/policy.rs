//! What the four policies are made of.

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

use crate::api::KEPT_BY_HELM;
use crate::names;

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
    /// list of names and globs.
    pub protected_namespaces: String,
}

/// Whether a request is denied if the policy cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
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
    pub(super) fn is_client(&self) -> MatchCondition {
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
    pub(super) fn new(name: &str, failure: Failure, spec: ValidatingAdmissionPolicySpec) -> Self {
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

    /// Helm keeps both objects on uninstall, and when the chart no longer contains them.
    pub(super) fn kept_by_helm(mut self) -> Self {
        for metadata in [&mut self.policy.metadata, &mut self.binding.metadata] {
            let annotations = metadata.annotations.get_or_insert_default();
            let (key, keep) = KEPT_BY_HELM;
            annotations.insert(key.to_owned(), keep.to_owned());
        }
        self
    }

    pub(super) fn with_parameter(mut self, parameter: ParamRef) -> Self {
        if let Some(spec) = &mut self.binding.spec {
            spec.param_ref = Some(parameter);
        }
        self
    }
}

/// Matches these operations on `resource`, excluding its subresources.
pub(super) fn requests(group: &str, resource: &str, operations: &[&str]) -> MatchResources {
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

pub(super) fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

pub(super) fn variable(name: &str, expression: String) -> Variable {
    Variable { name: name.to_owned(), expression }
}

/// Denies requests for which `expression` is not true, with this message.
pub(super) fn require(expression: String, message: &str) -> Validation {
    Validation {
        expression,
        message: Some(message.to_owned()),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}
