//! How the operator decides, for commands that decide as it does: by their flags, otherwise by its
//! Deployment, otherwise by default.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::Client;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::args::Installation;
use crate::commands::setting::Setting;
use crate::commands::setting::setting;
use crate::commands::table::printable;
use crate::decide::consent::Tenancy;
use crate::kubernetes::error::ApiFailure;
use crate::names;

/// What the operator's decisions depend on besides the cluster.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// The namespaces that are never destinations.
    pub protected: NamespacePatterns,
    /// Whose permissions count.
    pub tenancy: Tenancy,
    /// The namespaces that the operator works in.
    pub scope: Scope,
}

/// The flags that a Deployment sets.
struct Flags<'a> {
    deployment: Option<&'a Deployment>,
    /// Those that were used, such as `--namespaces=a,b`.
    used: Vec<String>,
    /// Those whose values are not known.
    unknown: Vec<String>,
}

/// The settings of the operator that `flags` name. Prints to standard error where they come from.
pub async fn operator_settings(client: &Client, flags: &Installation) -> OperatorSettings {
    let name = NamespacedName::new(&flags.operator_namespace, &flags.deployment);
    let api: Api<Deployment> = Api::namespaced(client.clone(), &name.namespace);
    let read = api.get_opt(&name.name).await;
    let deployment = read.as_ref().ok().and_then(Option::as_ref);
    let mut set = Flags { deployment, used: Vec::new(), unknown: Vec::new() };
    let settings = settings(flags, &mut set);
    let origin = match &read {
        Ok(Some(_)) if set.used.is_empty() => format!("nothing is set by Deployment {name}"),
        Ok(Some(_)) => format!("as Deployment {name}: {}", set.used.join(" ")),
        Ok(None) => format!("there is no Deployment {name}: defaults count, unless flags are set"),
        Err(error) => {
            let failed = ApiFailure::of(&format!("read Deployment {name}"), error);
            format!("{}: defaults count, unless flags are set", failed.failure.message)
        }
    };
    eprintln!("configmapsync: {}", printable(&origin));
    for flag in set.unknown {
        let warning = format!("Deployment {name} does not show the value of {flag}: set this flag");
        eprintln!("configmapsync: {}", printable(&warning));
    }
    settings
}

fn settings(flags: &Installation, set: &mut Flags<'_>) -> OperatorSettings {
    let own = &flags.operator_namespace;
    let protected = if flags.protected_namespaces.is_empty() {
        let default = || names::PROTECTED_NAMESPACES.parse().unwrap_or_default();
        set.patterns("protected-namespaces").unwrap_or_else(default)
    } else {
        flags.protected_namespaces.iter().cloned().collect()
    };
    let tenancy = if flags.boundaries.default_service_account.is_some() {
        flags.boundaries.tenancy()
    } else {
        Tenancy {
            default_service_account: set.value("default-service-account"),
            trusted_namespaces: set.patterns("trusted-namespaces").unwrap_or_default(),
        }
    };
    let scope = match flags.boundaries.scope() {
        Scope::Cluster => set.scope(own),
        limited @ Scope::Namespaces(_) => limited,
    };
    OperatorSettings { protected: protected.with(own), tenancy, scope }
}

/// The namespaces that an operator in the namespace `own` with this list is limited to.
pub fn scope_of(list: &str, own: &str) -> Scope {
    let namespaces: Vec<_> = list.split(',').map(|it| it.trim().to_owned()).collect();
    Scope::of(&namespaces, own)
}

// === impl Flags ===

impl Flags<'_> {
    /// The value of `--{flag}`, if it is set and not empty.
    fn value(&mut self, flag: &str) -> Option<String> {
        match setting(self.deployment?, flag) {
            Setting::Default => None,
            Setting::Given(value) if value.is_empty() => None,
            Setting::Given(value) => {
                self.used.push(format!("--{flag}={value}"));
                Some(value)
            }
            Setting::Unknown(_) => {
                self.unknown.push(format!("--{flag}"));
                None
            }
        }
    }

    fn patterns(&mut self, flag: &str) -> Option<NamespacePatterns> {
        let patterns = self.value(flag)?.parse();
        if patterns.is_err() {
            self.unknown.push(format!("--{flag}"));
        }
        patterns.ok()
    }

    fn scope(&mut self, own: &str) -> Scope {
        self.value("namespaces").map_or(Scope::Cluster, |list| scope_of(&list, own))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::Arguments;
    use crate::args::Command;

    fn flags(arguments: &[&str]) -> Installation {
        let arguments = [&["configmapsync", "plan"], arguments].concat();
        match Arguments::try_parse_from(arguments).unwrap().command {
            Command::Plan(plan) => plan.installation,
            other => panic!("{other:?}"),
        }
    }

    fn deployment(environment: &serde_json::Value) -> Deployment {
        let arguments = ["run", "--protected-namespaces=kube-system,infra-*", "--namespaces=a,b"];
        let container = json!({"name": "operator", "args": arguments, "env": environment});
        let template = json!({"spec": {"containers": [container]}});
        serde_json::from_value(json!({"spec": {"selector": {}, "template": template}})).unwrap()
    }

    fn known(
        arguments: &[&str],
        environment: &serde_json::Value,
    ) -> (OperatorSettings, Vec<String>, Vec<String>) {
        let deployment = deployment(environment);
        let mut set =
            Flags { deployment: Some(&deployment), used: Vec::new(), unknown: Vec::new() };
        let settings = settings(&flags(arguments), &mut set);
        (settings, set.used, set.unknown)
    }

    #[test]
    fn the_deployment_sets_what_no_flag_sets() {
        let account = json!([{"name": "CONFIGMAPSYNC_DEFAULT_SERVICE_ACCOUNT", "value": "copier"}]);
        let (settings, used, unknown) = known(&["--operator-namespace=own"], &account);
        assert!(settings.protected.contains("infra-1") && settings.protected.contains("own"));
        assert!(!settings.protected.contains("kube-public"));
        assert_eq!(settings.tenancy.default_service_account.as_deref(), Some("copier"));
        assert_eq!(settings.scope.parts(), [Some("a"), Some("b"), Some("own")]);
        assert_eq!((used.len(), unknown.len()), (3, 0));
        let explicit = [
            "--protected-namespaces=x",
            "--default-service-account=other",
            "--trusted-namespaces=t",
            "--namespaces=c",
        ];
        let (settings, used, _) = known(&explicit, &account);
        assert!(settings.protected.contains("x") && !settings.protected.contains("infra-1"));
        assert_eq!(settings.tenancy.default_service_account.as_deref(), Some("other"));
        assert!(settings.tenancy.trusted_namespaces.contains("t"));
        assert_eq!(settings.scope.parts(), [Some("c")]);
        assert_eq!(used, [""; 0]);
    }

    #[test]
    fn a_value_of_another_object_is_unknown() {
        let source = json!({"configMapKeyRef": {"name": "a", "key": "b"}});
        let variable =
            json!([{"name": "CONFIGMAPSYNC_DEFAULT_SERVICE_ACCOUNT", "valueFrom": source}]);
        let (settings, _, unknown) = known(&[], &variable);
        assert_eq!(settings.tenancy.default_service_account, None);
        assert_eq!(unknown, ["--default-service-account"]);
    }

    #[test]
    fn defaults_count_without_a_deployment() {
        let mut set = Flags { deployment: None, used: Vec::new(), unknown: Vec::new() };
        let settings = settings(&flags(&[]), &mut set);
        assert!(settings.protected.contains("kube-public"));
        assert!(settings.protected.contains(names::INSTALLATION));
        assert_eq!(settings.scope, Scope::Cluster);
    }
}
