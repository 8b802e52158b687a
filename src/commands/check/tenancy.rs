//! Whose permissions count for the ConfigMapSyncs?

use k8s_openapi::api::apps::v1::Deployment;

use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::commands::setting::Setting;
use crate::commands::setting::setting;

const SUBJECT: &str = "the tenancy of the operator";

/// The default ServiceAccount and the trusted namespaces that the Deployment sets.
pub fn tenancy(deployment: &Deployment) -> Finding {
    let finding =
        |state, message: String| Finding::new(Question::Installed, SUBJECT, state, message);
    let value = |flag| match setting(deployment, flag) {
        Setting::Default => Ok(None),
        Setting::Given(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Setting::Unknown(variable) => Err(format!(
            "not known: the Deployment takes {variable} from another object: read it there"
        )),
    };
    match (value("default-service-account"), value("trusted-namespaces")) {
        (Err(why), _) | (_, Err(why)) => finding(FindingState::Unknown, why),
        (Ok(None), Ok(None)) => finding(
            FindingState::Ok,
            "without spec.serviceAccountName, the permissions of the author count".to_owned(),
        ),
        (Ok(None), Ok(Some(trusted))) => finding(
            FindingState::Wrong,
            format!(
                "namespaces {trusted} are trusted, but there is no default ServiceAccount: set \
                 --default-service-account, or remove --trusted-namespaces"
            ),
        ),
        (Ok(Some(account)), Ok(trusted)) => {
            let except = trusted.map(|it| format!(", except in {it}")).unwrap_or_default();
            let message =
                format!("without spec.serviceAccountName, ServiceAccount {account} counts{except}");
            finding(FindingState::Ok, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(arguments: &[&str]) -> Finding {
        let container = json!({"name": "operator", "args": arguments});
        let template = json!({"spec": {"containers": [container]}});
        let deployment = json!({"spec": {"selector": {}, "template": template}});
        tenancy(&serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn the_default_account_and_the_trusted_namespaces_are_named() {
        let (account, trusted) = ("--default-service-account=copier", "--trusted-namespaces=a,b-*");
        for (arguments, words, state) in [
            (&[][..], "permissions of the author", FindingState::Ok),
            (&[account], "ServiceAccount copier counts", FindingState::Ok),
            (&[account, trusted], "copier counts, except in a,b-*", FindingState::Ok),
            (&[trusted], "no default ServiceAccount", FindingState::Wrong),
        ] {
            let finding = found(arguments);
            assert!(finding.message.contains(words), "{finding:?}");
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
