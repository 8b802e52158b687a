//! Nobody borrows the operator's rights.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
use k8s_openapi::api::admissionregistration::v1::Validation;

use crate::names;
use crate::policies::Failing;
use crate::policies::Policy;
use crate::policies::condition;
use crate::policies::demand;
use crate::policies::requests;
use crate::policies::variable;

/// Whoever creates a `ConfigMapSync`, or changes anything in its spec, must be allowed to get the
/// source, and to create, update and delete the copies: in all namespaces for a selector. Without
/// it, a tenant of one namespace could read and write all others through the operator.
///
/// The answer depends on RBAC alone, never on what there is, so that it tells nothing about a
/// namespace that the author may not look into. It is given when the spec is written, as for
/// bindings of roles: rights that are taken away later take no copy away.
///
/// Finalizers, status and deletion are not asked about.
#[must_use]
pub fn consent() -> Policy {
    let spec = ValidatingAdmissionPolicySpec {
        match_constraints: Some(requests(names::GROUP, "configmapsyncs", &["CREATE", "UPDATE"])),
        match_conditions: Some(vec![condition(
            "spec-is-new-or-changed",
            "oldObject == null || object.?spec != oldObject.?spec".to_owned(),
        )]),
        variables: Some(vec![
            // To the authorizer, an empty namespace means all of them, and an empty name any: so what
            // is missing is asked about for everything that it could be.
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
                "place",
                "variables.destination == '' ? 'all namespaces, as any could come to be selected' \
                 : 'namespace ' + variables.destination"
                    .to_owned(),
            ),
        ]),
        validations: Some(vec![
            to_get_the_source(),
            // By no name: a request to create an object has none that RBAC could look at.
            to_write("create", "ConfigMaps", ""),
            to_write("update", "ConfigMap ' + variables.name + '", ".name(variables.name)"),
            to_write("delete", "ConfigMap ' + variables.name + '", ".name(variables.name)"),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    Policy::new(names::POLICY_CONSENT, Failing::Closed, spec)
}

fn to_get_the_source() -> Validation {
    let asked = "authorizer.group('').resource('configmaps').namespace(variables.sourceNamespace)\
                 .name(variables.sourceName).check('get').allowed()";
    let message = "'you must be allowed to get ConfigMap ' + variables.sourceNamespace + '/' + \
                   variables.sourceName + ', which this \
                   ConfigMapSync copies: ask for that right, or let somebody who has it write the \
                   ConfigMapSync'";
    Validation {
        message_expression: Some(message.to_owned()),
        ..demand(asked.to_owned(), "you must be allowed to get the source: ask for that right")
    }
}

fn to_write(verb: &str, what: &str, named: &str) -> Validation {
    let asked = format!(
        "authorizer.group('').resource('configmaps').namespace(variables.destination){named}\
         .check('{verb}').allowed()"
    );
    let message = format!(
        "'you must be allowed to {verb} {what} in ' + variables.place + ', where this \
         ConfigMapSync writes: ask for that right, choose another destination, or let somebody \
         who has it write the ConfigMapSync'"
    );
    Validation {
        message_expression: Some(message),
        ..demand(asked, &format!("you must be allowed to {verb} the copies: ask for that right"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_question_for_each_verb() {
        let validations = consent().policy.spec.unwrap().validations.unwrap();
        for verb in ["get", "create", "update", "delete"] {
            let question = format!(".check('{verb}')");
            let asked = validations.iter().filter(|it| it.expression.contains(&question)).count();
            assert_eq!(asked, 1, "{verb}");
        }
        assert_eq!(validations.len(), 4);
    }
}
