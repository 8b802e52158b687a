//! What the printed Roles do not show.

use crate::api::namespaced_name::NamespacedName;
use crate::commands::rights::roles::Destinations;
use crate::commands::rights::roles::RightsOf;

/// Warnings for the user, one per line. `excluded` are destinations in which copies are never written.
pub fn warnings(
    rights: &RightsOf,
    excluded: &[NamespacedName],
    is_account_missing: bool,
) -> Vec<String> {
    let account = &rights.account;
    let mut warnings: Vec<_> = excluded
        .iter()
        .map(|NamespacedName { namespace, name }| {
            format!(
                "no Role for ConfigMap {name} in namespace {namespace}: it is protected, or the \
                 operator's own, and copies are never written there"
            )
        })
        .collect();
    if matches!(rights.destinations, Destinations::All(_)) {
        warnings.push(format!(
            "the ClusterRole permits ServiceAccount {account} to create ConfigMaps of any name in \
             every namespace, because RBAC cannot limit `create` by name: so may everyone who may \
             use that ServiceAccount. To permit it only in the namespaces that the selector matches \
             now, use --each-namespace"
        ));
    }
    if is_account_missing {
        warnings.push(format!(
            "ServiceAccount {account} does not exist: anyone who creates it gets these permissions"
        ));
    }
    warnings
}
