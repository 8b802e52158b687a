//! Which namespaces is the operator limited to?

use k8s_openapi::api::apps::v1::Deployment;

use crate::api::scope::Scope;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::commands::operator_settings::scope_of;
use crate::commands::setting::Setting;
use crate::commands::setting::setting;

const SUBJECT: &str = "the scope of the operator";
/// What the other checks assume if the scope is unknown.
const ASSUMED: &str = "permissions in all namespaces are checked";

/// The namespaces that the operator in the namespace `own` is limited to, from its Deployment; and a
/// finding, unless it is not limited. Without a Deployment, the scope is taken to be the whole cluster.
pub fn scope(
    deployment: Result<Option<&Deployment>, &kube::Error>,
    own: &str,
) -> (Scope, Option<Finding>) {
    let finding =
        |state, message: String| Finding::new(Question::Installed, SUBJECT, state, message);
    let unknown = |why: &str| {
        let finding = finding(FindingState::Unknown, format!("{why}: {ASSUMED}"));
        (Scope::Cluster, Some(finding))
    };
    let deployment = match deployment {
        Ok(Some(found)) => found,
        Ok(None) => return unknown("not known without the Deployment"),
        Err(error) => {
            return (Scope::Cluster, Some(Finding::unknown(Question::Installed, SUBJECT, error)));
        }
    };
    let scope = match setting(deployment, "namespaces") {
        Setting::Default => Scope::Cluster,
        Setting::Given(list) => scope_of(&list, own),
        Setting::Unknown(variable) => {
            return unknown(&format!("the Deployment takes {variable} from another object"));
        }
    };
    let names: Vec<_> = scope.parts().into_iter().flatten().collect();
    let limited = (!names.is_empty()).then(|| finding(FindingState::Ok, names.join(", ")));
    (scope, limited)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(variable: &serde_json::Value) -> Deployment {
        let container = json!({"name": "operator", "args": ["run"], "env": [variable]});
        let template = json!({"spec": {"containers": [container]}});
        serde_json::from_value(json!({"spec": {"selector": {}, "template": template}})).unwrap()
    }

    #[test]
    fn the_environment_limits_the_operator() {
        let limited = deployment(&json!({"name": "CONFIGMAPSYNC_NAMESPACES", "value": "a,b"}));
        let (scope, finding) = scope(Ok(Some(&limited)), "own");
        assert_eq!(scope.parts(), [Some("a"), Some("b"), Some("own")]);
        assert_eq!(finding.map(|it| it.message).as_deref(), Some("a, b, own"));
        let other = deployment(&json!({"name": "OTHER", "value": "a,b"}));
        assert_eq!(super::scope(Ok(Some(&other)), "own"), (Scope::Cluster, None));
    }

    #[test]
    fn an_unknown_scope_is_reported() {
        let source = json!({"configMapKeyRef": {"name": "a", "key": "b"}});
        let elsewhere = json!({"name": "CONFIGMAPSYNC_NAMESPACES", "valueFrom": source});
        for (deployment, words) in [
            (None, "not known without the Deployment"),
            (Some(deployment(&elsewhere)), "takes CONFIGMAPSYNC_NAMESPACES from another object"),
        ] {
            let (scope, finding) = scope(Ok(deployment.as_ref()), "own");
            let finding = finding.unwrap();
            assert_eq!((scope, finding.state), (Scope::Cluster, FindingState::Unknown));
            assert!(finding.message.contains(words), "{finding:?}");
        }
    }
}
