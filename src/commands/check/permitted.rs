//! Does the operator have the permissions that it needs?

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;

use crate::api::scope::Scope;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::kubernetes::access_review::Permission;
use crate::kubernetes::access_review::User;
use crate::kubernetes::access_review::is_allowed;
use crate::manifests;
use crate::manifests::ScopedRules;
use crate::policies::Operator;

/// How many rules are checked at a time.
const CONCURRENT_RULES: usize = 8;

/// Checks each rule of the manifests for the operator's ServiceAccount by access reviews.
pub async fn permitted(client: &Client, operator: &Operator, scope: &Scope) -> Vec<Finding> {
    let rules = rules(&operator.namespace, scope);
    let checks =
        rules.iter().map(|(rule, namespace)| check_rule(client, operator, rule, *namespace));
    // In the order of the manifests.
    stream::iter(checks).buffered(CONCURRENT_RULES).collect().await
}

/// What has to be granted, and in which namespace; without one, in the whole cluster.
fn rules<'a>(own: &'a str, scope: &'a Scope) -> Vec<(PolicyRule, Option<&'a str>)> {
    let in_own = manifests::namespace_rules().into_iter().map(|rule| (rule, Some(own)));
    if *scope == Scope::Cluster {
        let everywhere = manifests::cluster_rules().into_iter().map(|rule| (rule, None));
        return everywhere.chain(in_own).collect();
    }
    let ScopedRules { cluster, namespaced } = manifests::scoped_rules();
    let everywhere = cluster.into_iter().map(|rule| (rule, None));
    let parts = scope.parts().into_iter();
    let in_parts = parts.flat_map(|part| namespaced.iter().map(move |it| (it.clone(), part)));
    everywhere.chain(in_parts).chain(in_own).collect()
}

async fn check_rule(
    client: &Client,
    operator: &Operator,
    rule: &PolicyRule,
    namespace: Option<&str>,
) -> Finding {
    let scope = namespace.map_or("in the cluster".to_owned(), |it| format!("in namespace {it}"));
    let names = rule.resource_names.clone().unwrap_or_default().join(", ");
    let resources = rule.resources.clone().unwrap_or_default().join(", ");
    let subject = [resources.as_str(), names.as_str(), scope.as_str()];
    let subject = subject.iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let mut missing = Vec::new();
    let user = User::service_account(&operator.namespace, &operator.service_account);
    for permission in permissions(rule, namespace) {
        match is_allowed(client, &user, &permission).await {
            Ok(true) => {}
            Ok(false) => missing.push(permission.verb),
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
        format!("ServiceAccount {namespace}/{service_account} lacks {verbs}: install its roles"),
    )
}

/// The permissions that a rule grants, one by one.
fn permissions(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Permission> {
    let names = match &rule.resource_names {
        Some(names) => names.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let mut permissions = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for name in &names {
                permissions.extend(rule.verbs.iter().map(|verb| Permission {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    namespace: namespace.map(ToOwned::to_owned),
                }));
            }
        }
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::rule;

    #[test]
    fn a_rule_grants_each_verb_on_each_name() {
        let unnamed = rule("", "configmaps", &["get", "list"]);
        assert_eq!(permissions(&unnamed, None).len(), 2);
        let named = PolicyRule {
            resource_names: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..rule("coordination.k8s.io", "leases", &["get"])
        };
        let found: Vec<_> =
            permissions(&named, Some("ns")).into_iter().filter_map(|it| it.name).collect();
        assert_eq!(found, ["a", "b"]);
    }
}
