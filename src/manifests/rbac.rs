//! The roles of the operator and their bindings, for an installation without Helm.

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::rbac::v1::RoleRef;
use k8s_openapi::api::rbac::v1::Subject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::manifests::aggregated_roles::aggregated_roles;
use crate::manifests::manifest::Error;
use crate::manifests::manifest::Manifest;
use crate::manifests::yaml::yaml;
use crate::names;

const PATH: &str = "deploy/rbac.yaml";

/// Grants the operator's ServiceAccount these rules in the cluster and in its namespace, and users
/// access to the custom resource through the aggregated roles.
pub(super) fn rbac(
    cluster_rules: Vec<PolicyRule>,
    namespace_rules: Vec<PolicyRule>,
) -> Result<Manifest, Error> {
    let own_namespace = Some(names::INSTALLATION);
    let cluster_role = ClusterRole {
        metadata: metadata(None),
        rules: Some(cluster_rules),
        ..ClusterRole::default()
    };
    let cluster_role_binding = ClusterRoleBinding {
        metadata: metadata(None),
        role_ref: reference("ClusterRole"),
        subjects: Some(vec![service_account()]),
    };
    let role = Role { metadata: metadata(own_namespace), rules: Some(namespace_rules) };
    let role_binding = RoleBinding {
        metadata: metadata(own_namespace),
        role_ref: reference("Role"),
        subjects: Some(vec![service_account()]),
    };
    let [view, edit] = aggregated_roles(names::INSTALLATION);
    let documents = [
        yaml(PATH, &cluster_role)?,
        yaml(PATH, &cluster_role_binding)?,
        yaml(PATH, &role)?,
        yaml(PATH, &role_binding)?,
        yaml(PATH, &view)?,
        yaml(PATH, &edit)?,
    ];
    Ok(Manifest::from_documents(PATH, &documents))
}

fn metadata(namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::INSTALLATION.to_owned()),
        namespace: namespace.map(ToOwned::to_owned),
        ..ObjectMeta::default()
    }
}

fn reference(kind: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: names::INSTALLATION.to_owned(),
    }
}

fn service_account() -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: names::INSTALLATION.to_owned(),
        namespace: Some(names::INSTALLATION.to_owned()),
        ..Subject::default()
    }
}
