//! The `FlowSchema`: priority for the operator's leader election requests.

use k8s_openapi::api::flowcontrol::v1::FlowDistinguisherMethod;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use k8s_openapi::api::flowcontrol::v1::FlowSchemaSpec;
use k8s_openapi::api::flowcontrol::v1::PolicyRulesWithSubjects;
use k8s_openapi::api::flowcontrol::v1::PriorityLevelConfigurationReference;
use k8s_openapi::api::flowcontrol::v1::ResourcePolicyRule;
use k8s_openapi::api::flowcontrol::v1::ServiceAccountSubject;
use k8s_openapi::api::flowcontrol::v1::Subject;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::policies::Operator;

/// The precedence of the built-in `FlowSchema` `workload-leader-election`, which gives the same
/// priority to leader election in `kube-system`.
const PRECEDENCE: i32 = 200;

/// Assigns requests of the operator that these `rules` match to the priority level
/// `leader-election`, so that the leader can renew its Lease while the API server is overloaded.
///
/// `rules` are the permissions of the election, without names of objects.
pub(super) fn flow_schema(name: &str, operator: &Operator, rules: &[PolicyRule]) -> FlowSchema {
    let account = ServiceAccountSubject {
        name: operator.service_account.clone(),
        namespace: operator.namespace.clone(),
    };
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        service_account: Some(account),
        ..Subject::default()
    };
    let resource_rules = rules.iter().map(|rule| ResourcePolicyRule {
        api_groups: rule.api_groups.clone().unwrap_or_default(),
        resources: rule.resources.clone().unwrap_or_default(),
        verbs: rule.verbs.clone(),
        namespaces: Some(vec![operator.namespace.clone()]),
        cluster_scope: None,
    });
    FlowSchema {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(FlowSchemaSpec {
            distinguisher_method: Some(FlowDistinguisherMethod { type_: "ByUser".to_owned() }),
            matching_precedence: Some(PRECEDENCE),
            priority_level_configuration: PriorityLevelConfigurationReference {
                name: "leader-election".to_owned(),
            },
            rules: Some(vec![PolicyRulesWithSubjects {
                subjects: vec![subject],
                resource_rules: Some(resource_rules.collect()),
                non_resource_rules: None,
            }]),
        }),
        status: None,
    }
}
