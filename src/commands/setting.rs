//! The flags of the operator, as its Deployment sets them.

use clap::CommandFactory as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;

use crate::args::Arguments;

/// The value of a flag of `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// It is not set.
    Default,
    /// This value; those of a repeated flag are separated by commas.
    Given(String),
    /// That of this environment variable, which the Deployment takes from another object.
    Unknown(String),
}

/// How `deployment` sets the flag `--{flag}` of `run`: by an argument of its container, or by the
/// environment variable of the flag, which counts without such an argument.
pub fn setting(deployment: &Deployment, flag: &str) -> Setting {
    let pod = deployment.spec.as_ref().and_then(|it| it.template.spec.as_ref());
    let containers = || pod.iter().flat_map(|it| &it.containers);
    let values: Vec<_> = containers().flat_map(|it| arguments(it, flag)).collect();
    if !values.is_empty() {
        return Setting::Given(values.join(","));
    }
    let variable = variable(flag);
    let mut variables = containers().flat_map(|it| it.env.iter().flatten());
    match variables.find(|it| Some(&it.name) == variable.as_ref()) {
        None => Setting::Default,
        Some(found) if found.value_from.is_some() => Setting::Unknown(found.name.clone()),
        Some(found) => Setting::Given(found.value.clone().unwrap_or_default()),
    }
}

/// The values of `--flag=VALUE` and `--flag VALUE`.
fn arguments<'a>(container: &'a Container, flag: &str) -> Vec<&'a str> {
    let mut arguments = container.command.iter().chain(&container.args).flatten();
    let mut values = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--").and_then(|it| it.strip_prefix(flag)) {
            Some("") => values.extend(arguments.next().map(String::as_str)),
            Some(rest) => values.extend(rest.strip_prefix('=')),
            None => {}
        }
    }
    values
}

/// The environment variable of this flag of `run`.
fn variable(flag: &str) -> Option<String> {
    let command = Arguments::command();
    let mut flags = command.find_subcommand("run")?.get_arguments();
    let found = flags.find(|it| it.get_long() == Some(flag))?;
    found.get_env().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn namespaces(arguments: &[&str], environment: &Value) -> Setting {
        let container = json!({"name": "operator", "args": arguments, "env": environment});
        let deployment = json!({"spec": {
            "selector": {},
            "template": {"spec": {"containers": [container]}},
        }});
        setting(&serde_json::from_value(deployment).unwrap(), "namespaces")
    }

    #[test]
    fn an_argument_counts_in_each_form_and_before_the_environment() {
        let variable = json!([{"name": "CONFIGMAPSYNC_NAMESPACES", "value": "e,f"}]);
        for (arguments, expected) in [
            (&["run"][..], "e,f"),
            (&["run", "--namespaces=a,b"], "a,b"),
            (&["run", "--namespaces", "a,b", "--namespace", "own"], "a,b"),
            (&["run", "--namespaces=a", "--namespaces", "b"], "a,b"),
            (&["run", "--namespace=own", "--trusted-namespaces=x"], "e,f"),
        ] {
            assert_eq!(namespaces(arguments, &variable), Setting::Given(expected.to_owned()));
        }
    }

    #[test]
    fn a_variable_of_another_object_is_unknown() {
        assert_eq!(namespaces(&["run"], &Value::Null), Setting::Default);
        let source = json!({"configMapKeyRef": {"name": "a", "key": "b"}});
        let variable = json!([{"name": "CONFIGMAPSYNC_NAMESPACES", "valueFrom": source}]);
        let unknown = Setting::Unknown("CONFIGMAPSYNC_NAMESPACES".to_owned());
        assert_eq!(namespaces(&["run"], &variable), unknown);
        assert_eq!(namespaces(&["--namespaces=a"], &variable), Setting::Given("a".to_owned()));
    }
}
