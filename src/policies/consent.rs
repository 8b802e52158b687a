//! The policy `configmapsync-consent`: a `ConfigMapSync` needs no permission that its author lacks.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use k8s_openapi::api::admissionregistration::v1::Validation;

use crate::names;
use crate::policies::policy::Failure;
use crate::policies::policy::Policy;
use crate::policies::policy::condition;
use crate::policies::policy::requests;
use crate::policies::policy::require;
use crate::policies::policy::variable;

/// Denies a `ConfigMapSync`, or a change of its spec, unless its author is allowed to get the source
/// and to create, update and delete the copies. With a selector, the latter three are required in
/// all namespaces. Without this policy, a tenant of one namespace could read and write all others
/// through the operator.
///
/// With `serviceAccountName`, the author must be allowed to impersonate that ServiceAccount instead:
/// the operator checks what it may do. A change that removes the field is checked as any other spec
/// without it.
///
/// # Guarantees
/// The decision depends on permissions only, never on which objects exist: it reveals nothing about
/// namespaces that the author has no access to.
///
/// # Caveats
/// Permissions are checked when the spec is written, as for role bindings. Revoking them later does
/// not remove copies. Changes of finalizers and status, and deletion, are not checked.
#[must_use]
pub fn consent() -> Policy {
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests(names::GROUP, "configmapsyncs", &["CREATE", "UPDATE"])),
        match_conditions: Some(vec![condition(
            "spec-created-or-changed",
            "oldObject == null || object.?spec != oldObject.?spec".to_owned(),
        )]),
        variables: Some(vec![
            // For the authorizer, an empty namespace or name means all of them. A missing field
            // therefore requires the permission on everything that it could be set to.
            variable("account", "object.spec.?serviceAccountName.orValue('')".to_owned()),
            variable("sourceNamespace", "object.spec.?sourceNamespace.orValue('')".to_owned()),
            variable("sourceName", "object.spec.?configMapName.orValue('')".to_owned()),
            variable(
                "destination",
                "object.spec.?destinationNamespaceSelector.hasValue() ? '' : \
                 object.spec.?destinationNamespace.orValue('')"
                    .to_owned(),
            ),
            variable(
                "name",
                "object.spec.?destinationName.orValue(variables.sourceName)".to_owned(),
            ),
            variable(
                "scope",
                "variables.destination == '' ? 'all namespaces (destinationNamespaceSelector can \
                 match any)' : 'namespace ' + variables.destination"
                    .to_owned(),
            ),
            variable(
                "remedy",
                "variables.destination == '' ? 'set serviceAccountName to a ServiceAccount, whose \
                 permissions are then checked in each selected namespace, request it' : \
                 'request it, choose another destination'"
                    .to_owned(),
            ),
        ]),
        validations: Some(vec![
            may_impersonate(),
            may_get_source(),
            // Without a name: RBAC does not see the name in a request to create an object.
            may_write_copies("create", "ConfigMaps", ""),
            may_write_copies("update", "ConfigMap ' + variables.name + '", ".name(variables.name)"),
            may_write_copies("delete", "ConfigMap ' + variables.name + '", ".name(variables.name)"),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_CONSENT, Failure::Closed, spec).kept_by_helm()
}

fn may_impersonate() -> Validation {
    let expression = "variables.account == '' || \
                      authorizer.group('').resource('serviceaccounts').namespace(request.namespace)\
                      .name(variables.account).check('impersonate').allowed()";
    let message = "'you need permission to impersonate ServiceAccount ' + request.namespace + '/' + \
                   variables.account + ', whose permissions this ConfigMapSync uses: request it, or \
                   have a user with that permission apply the ConfigMapSync'";
    let fallback = "you need permission to impersonate the ServiceAccount: request it";
    Validation {
        message_expression: Some(message.to_owned()),
        ..require(expression.to_owned(), fallback)
    }
}

fn may_get_source() -> Validation {
    let expression = "variables.account != '' || \
                      authorizer.group('').resource('configmaps')\
                      .namespace(variables.sourceNamespace).name(variables.sourceName)\
                      .check('get').allowed()";
    let message = "'you need permission to get ConfigMap ' + variables.sourceNamespace + '/' + \
                   variables.sourceName + ', the source of this ConfigMapSync: request it, or have \
                   a user with that permission apply the ConfigMapSync'";
    Validation {
        message_expression: Some(message.to_owned()),
        ..require(expression.to_owned(), "you need permission to get the source: request it")
    }
}

fn may_write_copies(verb: &str, what: &str, named: &str) -> Validation {
    let expression = format!(
        "variables.account != '' || \
         authorizer.group('').resource('configmaps').namespace(variables.destination){named}\
         .check('{verb}').allowed()"
    );
    let message = format!(
        "'you need permission to {verb} {what} in ' + variables.scope + ', for the copies of this \
         ConfigMapSync: ' + variables.remedy + ', or have a user with that permission apply the \
         ConfigMapSync'"
    );
    Validation {
        message_expression: Some(message),
        ..require(expression, &format!("you need permission to {verb} the copies: request it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_is_checked_once() {
        let validations = consent().policy.spec.unwrap().validations.unwrap();
        for verb in ["impersonate", "get", "create", "update", "delete"] {
            let call = format!(".check('{verb}')");
            let calls = validations.iter().filter(|it| it.expression.contains(&call)).count();
            assert_eq!(calls, 1, "{verb}");
        }
        assert_eq!(validations.len(), 5);
    }
}
