//! ServiceAccounts of tenants, their permissions, and the reviews of the operator.

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use harness::audit_queries::requests_by_operator;
use harness::fixture::one_to_one;
use harness::replica::Options;
use serde_json::json;
use testbed::audit::Event;
use testbed::control_plane::ControlPlane;
use testbed::users::Permission;

/// The ServiceAccount of every ConfigMapSync in these tests.
pub const ACCOUNT: &str = "copier";
/// Every verb on ConfigMaps that the operator checks at a destination.
pub const WRITES: &[&str] = &["create", "update", "delete"];

/// The name by which the API server knows the account in `namespace`.
pub fn user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{ACCOUNT}")
}

/// Allows the account in `namespace` these verbs on ConfigMaps in the namespace `at`; `None`: in all.
pub async fn permit(
    control_plane: &ControlPlane,
    namespace: &str,
    at: Option<&str>,
    verbs: &[&str],
) -> Result<()> {
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    let verb = verbs.last().copied().unwrap_or_default();
    let last = Permission { namespace: at, group: "", resource: "configmaps", verb };
    control_plane.grant(&user(namespace), at, rules, last).await
}

/// [`one_to_one`], with the account.
pub fn by_account(namespace: &str, name: &str, destination: &str) -> ConfigMapSyncSpec {
    let service_account_name = Some(ACCOUNT.to_owned());
    ConfigMapSyncSpec { service_account_name, ..one_to_one(namespace, name, destination) }
}

/// A replica that checks the account of each ConfigMapSync, except in `platform` and `trusted-*`.
pub fn lockdown() -> Options {
    let arguments =
        ["--default-service-account", ACCOUNT, "--trusted-namespaces", "platform,trusted-*"];
    Options { arguments: arguments.map(str::to_owned).to_vec(), ..Options::default() }
}

/// The operator's reviews of permissions.
pub fn reviews(events: &[Event]) -> Vec<&Event> {
    requests_by_operator(events)
        .filter(|event| event.resource() == "subjectaccessreviews")
        .collect()
}

/// The operator's reads of the ConfigMap `namespace/name`.
pub fn reads<'a>(events: &'a [Event], namespace: &str, name: &str) -> Vec<&'a Event> {
    requests_by_operator(events)
        .filter(|event| {
            let at = (event.verb.as_str(), event.resource(), event.namespace(), event.name());
            at == ("get", "configmaps", namespace, name)
        })
        .collect()
}
