//! Has the operator the rights that it needs?

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::Client;
use kube::api::PostParams;

use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::manifests;
use crate::policies::Operator;

/// Questions under way at a time.
const CONCURRENT: usize = 8;

/// One right, and where it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Right {
    verb: String,
    group: String,
    resource: String,
    name: Option<String>,
    /// Without one, in the whole cluster.
    namespace: Option<String>,
}

/// Asks the API server about each right of the manifests, on behalf of the operator's account.
pub async fn permitted(client: &Client, operator: &Operator) -> Vec<Finding> {
    let own = Some(operator.namespace.as_str());
    let everywhere = manifests::cluster_rules().into_iter().map(|rule| (rule, None));
    let in_own = manifests::namespace_rules().into_iter().map(|rule| (rule, own));
    let rules: Vec<_> = everywhere.chain(in_own).collect();
    let looks = rules.iter().map(|(rule, namespace)| look(client, operator, rule, *namespace));
    // In the order of the manifests.
    stream::iter(looks).buffered(CONCURRENT).collect().await
}

async fn look(
    client: &Client,
    operator: &Operator,
    rule: &PolicyRule,
    namespace: Option<&str>,
) -> Finding {
    let place = namespace.map_or("everywhere".to_owned(), |it| format!("in namespace {it}"));
    let names = rule.resource_names.clone().unwrap_or_default().join(", ");
    let resources = rule.resources.clone().unwrap_or_default().join(", ");
    let subject = [resources.as_str(), names.as_str(), place.as_str()];
    let subject = subject.iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let mut missing = Vec::new();
    for right in rights(rule, namespace) {
        match is_allowed(client, operator, &right).await {
            Ok(true) => {}
            Ok(false) => missing.push(right.verb),
            Err(error) => return Finding::unknown(Question::Permitted, &subject, &error),
        }
    }
    let finding = |state, message| Finding::new(Question::Permitted, &subject, state, message);
    if missing.is_empty() {
        return finding(FindingState::Ok, rule.verbs.join(", "));
    }
    let Operator { namespace, service_account, .. } = operator;
    let verbs = missing.join(", ");
    finding(
        FindingState::Wrong,
        format!("ServiceAccount {namespace}/{service_account} may not {verbs}: install its roles"),
    )
}

/// The rights in a rule, one by one.
fn rights(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Right> {
    let names = match &rule.resource_names {
        Some(names) => names.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for name in &names {
                rights.extend(rule.verbs.iter().map(|verb| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    namespace: namespace.map(ToOwned::to_owned),
                }));
            }
        }
    }
    rights
}

async fn is_allowed(client: &Client, operator: &Operator, right: &Right) -> kube::Result<bool> {
    let Operator { namespace, service_account, .. } = operator;
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let groups = [
        "system:authenticated".to_owned(),
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ];
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{namespace}:{service_account}")),
        groups: Some(groups.to_vec()),
        resource_attributes: Some(ResourceAttributes {
            namespace: right.namespace.clone(),
            verb: Some(right.verb.clone()),
            group: Some(right.group.clone()),
            resource: Some(resource.to_owned()),
            subresource,
            name: right.name.clone(),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::rule;

    #[test]
    fn a_rule_is_a_right_for_each_verb_and_each_name() {
        let unnamed = rule("", "configmaps", &["get", "list"]);
        assert_eq!(rights(&unnamed, None).len(), 2);
        let named = PolicyRule {
            resource_names: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..rule("coordination.k8s.io", "leases", &["get"])
        };
        let found: Vec<_> =
            rights(&named, Some("ns")).into_iter().filter_map(|right| right.name).collect();
        assert_eq!(found, ["a", "b"]);
    }
}
