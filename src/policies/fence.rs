//! The policy `configmapsync-fence`: only the leader writes copies.

use k8s_openapi::api::admissionregistration::v1::MatchResources;
use k8s_openapi::api::admissionregistration::v1::ParamKind;
use k8s_openapi::api::admissionregistration::v1::ParamRef;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::Resource as _;

use crate::api::ConfigMapSyncLeader;
use crate::names;
use crate::policies::policy::Failure;
use crate::policies::policy::Operator;
use crate::policies::policy::Policy;
use crate::policies::policy::requests;
use crate::policies::policy::require;
use crate::policies::policy::variable;

/// Denies writes of copies by pods of the operator other than the one in the leader record, the
/// `ConfigMapSyncLeader`. A former leader that resumes after a suspension cannot write.
///
/// # Why the parameter is a custom resource
/// The API server stops refreshing a parameter of a built-in kind, such as the Lease, after the
/// policy and its binding were deleted and created again. The policy then denies the writes of the
/// actual leader until the API server restarts (kubernetes/kubernetes#133827).
///
/// # Why it fails open
/// The API server resolves the parameter *before* it evaluates the match conditions. While the kind
/// is missing or the API server is starting, it cannot resolve it, and failing closed would deny
/// writes of copies by all clients and block the deletion of namespaces. For the same reason the
/// policy matches labelled `ConfigMap`s only, and admits everything while there is no leader record.
/// Writes that are admitted meanwhile still have their preconditions.
#[must_use]
pub fn fence(operator: &Operator) -> Policy {
    let copies = LabelSelectorRequirement {
        key: names::LABEL_SYNC_UID.to_owned(),
        operator: "Exists".to_owned(),
        values: None,
    };
    let spec = ValidatingAdmissionPolicySpec {
        param_kind: Some(ParamKind {
            api_version: Some(format!("{}/v1", names::GROUP)),
            kind: Some(ConfigMapSyncLeader::kind(&()).into_owned()),
        }),
        match_constraints: Some(MatchResources {
            // Matches if the old or the new object has the label.
            object_selector: Some(LabelSelector {
                match_expressions: Some(vec![copies]),
                match_labels: None,
            }),
            ..requests("", "configmaps", &["CREATE", "UPDATE", "DELETE"])
        }),
        match_conditions: Some(vec![operator.is_client()]),
        // Tokens that are not bound to a pod do not have it.
        variables: Some(vec![variable(
            "pod",
            format!("request.userInfo.?extra[?'{}'][?0].orValue('')", names::EXTRA_POD_UID),
        )]),
        validations: Some(vec![require(
            "variables.pod != '' && params.spec.podUID == variables.pod".to_owned(),
            "this pod is not the leader that the ConfigMapSyncLeader names: only the leader may \
             write copies, and this replica must give up leadership",
        )]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_FENCE, Failure::Open, spec).with_parameter(ParamRef {
        name: Some(names::LEADER_NAME.to_owned()),
        namespace: Some(operator.namespace.clone()),
        parameter_not_found_action: Some("Allow".to_owned()),
        selector: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_leader_record_denies_nothing() {
        let Policy { policy, binding } = fence(&Operator::default());
        let parameter = binding.spec.unwrap().param_ref.unwrap();
        assert_eq!(parameter.parameter_not_found_action.as_deref(), Some("Allow"));
        let matched = policy.spec.unwrap().match_constraints.unwrap();
        let selected = matched.object_selector.unwrap().match_expressions.unwrap();
        assert_eq!(selected[0].key, names::LABEL_SYNC_UID);
    }

    #[test]
    fn the_parameter_is_a_custom_resource() {
        let kind = fence(&Operator::default()).policy.spec.unwrap().param_kind.unwrap();
        assert_eq!(kind.api_version.as_deref(), Some("apps.nishaf.info/v1"));
    }
}
