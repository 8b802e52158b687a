//! Only the announced leader writes copies.

use k8s_openapi::api::admissionregistration::v1::MatchResources;
use k8s_openapi::api::admissionregistration::v1::ParamKind;
use k8s_openapi::api::admissionregistration::v1::ParamRef;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::Resource as _;

use crate::api::ConfigMapSyncLeader;
use crate::names;
use crate::policies::Failing;
use crate::policies::Operator;
use crate::policies::Policy;
use crate::policies::demand;
use crate::policies::requests;
use crate::policies::variable;

/// Of the operator's pods, only the one that the `ConfigMapSyncLeader` announces writes, marks and
/// deletes copies: a leader that was frozen and wakes up late is refused by the API server.
///
/// The announcement is a parameter of a kind of our own. One of a native kind, such as the Lease,
/// is never read again once policy and binding were deleted and created anew, and locks the
/// rightful leader out until the API server is restarted (kubernetes/kubernetes#133827).
///
/// Fails open, and lets everything pass while nobody is announced: the API server resolves a
/// parameter *before* it looks at who asks. Where it cannot, as long as the kind is missing or the
/// API server has just started, refusing would refuse everybody's writes to copies, and keep
/// namespaces from being deleted. For the same reason it is asked about copies alone. What passes
/// meanwhile still carries the version that it was decided on.
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
            // Matches if the label is on the old object or on the new one.
            object_selector: Some(LabelSelector {
                match_expressions: Some(vec![copies]),
                match_labels: None,
            }),
            ..requests("", "configmaps", &["CREATE", "UPDATE", "DELETE"])
        }),
        match_conditions: Some(vec![operator.asks()]),
        // Absent from tokens that are bound to no pod.
        variables: Some(vec![variable(
            "pod",
            format!("request.userInfo.?extra[?'{}'][?0].orValue('')", names::EXTRA_POD_UID),
        )]),
        validations: Some(vec![demand(
            "variables.pod != '' && params.spec.podUID == variables.pod".to_owned(),
            "this pod is not the leader that the ConfigMapSyncLeader announces: it has to stop \
             writing, and to stand by",
        )]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_FENCE, Failing::Open, spec).with_parameter(ParamRef {
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
    fn a_parameter_that_is_missing_stops_nobody() {
        let Policy { policy, binding } = fence(&Operator::default());
        let parameter = binding.spec.unwrap().param_ref.unwrap();
        assert_eq!(parameter.parameter_not_found_action.as_deref(), Some("Allow"));
        let matched = policy.spec.unwrap().match_constraints.unwrap();
        let selected = matched.object_selector.unwrap().match_expressions.unwrap();
        assert_eq!(selected[0].key, names::LABEL_SYNC_UID);
    }

    #[test]
    fn the_parameter_is_of_a_kind_of_our_own() {
        let kind = fence(&Operator::default()).policy.spec.unwrap().param_kind.unwrap();
        assert_eq!(kind.api_version.as_deref(), Some("apps.nishaf.info/v1"));
    }
}
