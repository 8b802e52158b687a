//! Kubernetes manifests, generated from the API types, the policies and the permissions that are
//! declared beside the calls that need them.
//!
//! The files below `deploy` are applied as they are. Those below `chart/files` are parts of Helm
//! templates: where installations differ, they contain template actions.

mod aggregated_roles;
mod flow_schema;
mod installation;
mod manifest;
mod permissions;
mod rbac;
mod yaml;

use std::path::Path;

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::api::custom_resource_definition;
use crate::api::leader;
use crate::manifests::aggregated_roles::aggregated_roles;
use crate::manifests::flow_schema::flow_schema;
use crate::manifests::installation::DEPLOYMENT;
use crate::manifests::installation::Installation;
use crate::manifests::permissions::merged;
use crate::manifests::permissions::uninstall_cluster_rules;
use crate::manifests::rbac::rbac;
use crate::manifests::yaml::document;
use crate::manifests::yaml::documents;
use crate::manifests::yaml::yaml;
use crate::policies;
use crate::policies::Policy;
use crate::uninstall;

pub use crate::manifests::manifest::Error;
pub use crate::manifests::manifest::Manifest;
pub use crate::manifests::permissions::ScopedRules;
pub use crate::manifests::permissions::cluster_rules;
pub use crate::manifests::permissions::namespace_rules;
pub use crate::manifests::permissions::scoped_rules;
pub use crate::manifests::permissions::scoped_uninstall_rules;
pub use crate::manifests::permissions::uninstall_rules;

/// Every generated file, in `deploy` and in `chart`.
///
/// # Errors
/// [`Error::Yaml`].
pub fn all() -> Result<Vec<Manifest>, Error> {
    let (syncs, leaders) = (custom_resource_definition(), leader::custom_resource_definition());
    let (cluster_rules, namespace_rules) = (cluster_rules(), namespace_rules());
    let mut files = vec![
        document("deploy/crds/configmapsyncs.yaml", &syncs)?,
        document("deploy/crds/configmapsyncleaders.yaml", &leaders)?,
        policy_manifest("deploy/crds/consent.yaml", &[policies::consent()])?,
        rbac(cluster_rules.clone(), namespace_rules.clone())?,
        document("chart/files/crds/configmapsyncs.yaml", &syncs)?,
        document("chart/files/crds/configmapsyncleaders.yaml", &leaders)?,
        policy_manifest("chart/files/policies/consent.yaml", &[policies::consent()])?,
        document("chart/files/cluster-role-rules.yaml", &cluster_rules)?,
        document("chart/files/role-rules.yaml", &namespace_rules)?,
        document("chart/files/scoped/cluster-role-rules.yaml", &scoped_rules().cluster)?,
        document("chart/files/scoped/role-rules.yaml", &scoped_rules().namespaced)?,
        document(
            "chart/files/scoped/uninstall-cluster-role-rules.yaml",
            &scoped_uninstall_rules().cluster,
        )?,
        document(
            "chart/files/scoped/uninstall-role-rules.yaml",
            &scoped_uninstall_rules().namespaced,
        )?,
        document("chart/files/uninstall/cluster-role-rules.yaml", &uninstall_cluster_rules())?,
        document("chart/files/uninstall/delete-rules.yaml", &uninstall::access_to_delete())?,
        document("chart/files/uninstall/role-rules.yaml", &uninstall::access_to_stop(DEPLOYMENT))?,
    ];
    files.extend(per_installation(namespace_rules)?);
    Ok(files)
}

/// The files that contain names of the installation: default names in `deploy`, template actions
/// in the chart.
fn per_installation(namespace_rules: Vec<PolicyRule>) -> Result<Vec<Manifest>, Error> {
    // A FlowSchema matches resources, not names of objects.
    let unnamed = |rule| PolicyRule { resource_names: None, ..rule };
    let rules = merged(namespace_rules.into_iter().map(unnamed).collect());
    let (plain, chart) = (Installation::default(), Installation::of_a_release());
    let flow_schema = |it: &Installation| flow_schema(&it.flow_schema, &it.operator, &rules);
    let policies = policies::of_installation(&plain.operator);
    let mut files = vec![
        policy_manifest("deploy/policies.yaml", &policies)?,
        document("deploy/flow-schema.yaml", &flow_schema(&plain))?,
        documents("chart/files/aggregated-roles.yaml", &aggregated_roles(&chart.cluster_name))?,
        document("chart/files/flow-schema.yaml", &flow_schema(&chart))?,
    ];
    // One file per policy: the chart can install each one alone.
    let paths = [
        "chart/files/policies/fence.yaml",
        "chart/files/policies/marks.yaml",
        "chart/files/policies/bounds.yaml",
    ];
    for (path, policy) in paths.into_iter().zip(policies::of_installation(&chart.operator)) {
        files.push(policy_manifest(path, &[policy])?);
    }
    Ok(files)
}

/// The policies, each followed by its binding.
fn policy_manifest(path: &'static str, policies: &[Policy]) -> Result<Manifest, Error> {
    let mut documents = Vec::new();
    for Policy { policy, binding } in policies {
        documents.extend([yaml(path, policy)?, yaml(path, binding)?]);
    }
    Ok(Manifest::from_documents(path, &documents))
}

/// The files for `kubectl apply`, as one stream of YAML documents.
///
/// # Errors
/// [`Error::Yaml`].
pub fn stream() -> Result<String, Error> {
    let deployed = all()?.into_iter().filter(|manifest| manifest.path.starts_with("deploy/"));
    Ok(deployed.map(|manifest| manifest.content).collect::<Vec<_>>().join("---\n"))
}

/// Writes every generated file below `root`, the root of the repository.
///
/// # Errors
/// [`Error::Yaml`], [`Error::Write`].
pub fn write(root: &Path) -> Result<(), Error> {
    for manifest in all()? {
        let path = root.join(manifest.path);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, manifest.content));
        written.map_err(|source| Error::Write { path: path.display().to_string(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_the_repository_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            write(root).unwrap();
        }
        for manifest in all().unwrap() {
            let stored = std::fs::read_to_string(root.join(manifest.path)).unwrap_or_default();
            assert!(
                stored == manifest.content,
                "{} is out of date: run `UPDATE=1 cargo test manifests`",
                manifest.path,
            );
        }
    }

    #[test]
    fn validation_rules_sit_below_the_root() {
        let definition = serde_json::to_value(custom_resource_definition()).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(schema["x-kubernetes-validations"].is_null());
        assert!(schema["properties"]["spec"]["x-kubernetes-validations"].is_array());
    }

    #[test]
    fn every_field_is_described() {
        let (syncs, leaders) = (custom_resource_definition(), leader::custom_resource_definition());
        for (definition, parts) in [(syncs, &["spec", "status"][..]), (leaders, &["spec"])] {
            let definition = serde_json::to_value(definition).unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            assert!(schema["description"].is_string());
            for part in parts {
                assert_described(&schema["properties"][part], part);
            }
        }
    }

    fn assert_described(schema: &serde_json::Value, path: &str) {
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{path} is not described");
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert_described(property, &format!("{path}.{name}"));
        }
        for (name, property) in schema["items"]["properties"].as_object().into_iter().flatten() {
            assert_described(property, &format!("{path}[].{name}"));
        }
    }
}
