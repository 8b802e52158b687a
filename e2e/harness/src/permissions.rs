//! Revokes and restores the operator's permissions while it runs.

use std::time::Duration;

use anyhow::Result;
use configmapsync::manifests::ScopedRules;
use configmapsync::manifests::scoped_rules;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::OPERATOR_USER;
use testbed::control_plane::ControlPlane;
use testbed::repository::manifest;
use testbed::users::Permission;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::fixture::SOON;

/// The name of the Role and the `RoleBinding` that [`grant_in`] and [`limit_to`] create.
const ROLE: &str = "configmapsync-e2e";

/// Revokes the operator's permission for `verbs` on a resource, such as `configmaps` or
/// `configmapsyncs/status`, and waits until the API server denies them. Open watches continue.
pub async fn revoke(control_plane: &ControlPlane, resource: &str, verbs: &[&str]) -> Result<()> {
    let mut role = Api::<ClusterRole>::all(control_plane.client()).get(OPERATOR).await?;
    for rule in role.rules.iter_mut().flatten() {
        if rule.resources.iter().flatten().any(|it| it == resource) {
            rule.verbs.retain(|it| !verbs.contains(&it.as_str()));
        }
    }
    role.rules.iter_mut().for_each(|rules| rules.retain(|rule| !rule.verbs.is_empty()));
    role.metadata = ObjectMeta { name: role.metadata.name, ..ObjectMeta::default() };
    control_plane.apply(serde_json::to_value(&role)?).await?;
    for verb in verbs {
        wait_permission(control_plane, "default", resource, verb, false).await?;
    }
    Ok(())
}

/// Restores all permissions of the operator, and waits until it has those for `verbs` on `resource`.
pub async fn restore(control_plane: &ControlPlane, resource: &str, verbs: &[&str]) -> Result<()> {
    control_plane.apply_file(&manifest("rbac.yaml")).await?;
    for verb in verbs {
        wait_permission(control_plane, "default", resource, verb, true).await?;
    }
    Ok(())
}

/// Grants the operator permission for `verbs` on the `ConfigMap`s of one namespace, and waits until it
/// has it.
pub async fn grant_in(control_plane: &ControlPlane, namespace: &str, verbs: &[&str]) -> Result<()> {
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    bind_role(control_plane, namespace, rules).await?;
    for verb in verbs {
        wait_permission(control_plane, namespace, "configmaps", verb, true).await?;
    }
    Ok(())
}

/// Replaces the operator's permissions in the whole cluster by those that it needs if it is limited to
/// `namespaces` and its own, and waits until the API server denies the others. No operator may have run
/// before.
pub async fn limit_to(control_plane: &ControlPlane, namespaces: &[&str]) -> Result<()> {
    control_plane.record_permissions_as_limited();
    let ScopedRules { cluster, namespaced } = scoped_rules();
    for namespace in namespaces.iter().chain([&OPERATOR]) {
        bind_role(control_plane, namespace, serde_json::to_value(&namespaced)?).await?;
    }
    let metadata = json!({"name": OPERATOR});
    let role = json!({"kind": "ClusterRole", "metadata": metadata, "rules": cluster});
    control_plane.apply(with_version(role)).await?;
    for namespace in namespaces {
        wait_permission(control_plane, namespace, "configmaps", "watch", true).await?;
    }
    wait_permission(control_plane, "kube-public", "configmaps", "watch", false).await
}

/// Deletes the operator's Role in one namespace, and waits until the API server denies what it granted.
pub async fn revoke_in(control_plane: &ControlPlane, namespace: &str) -> Result<()> {
    let roles = Api::<Role>::namespaced(control_plane.client(), namespace);
    roles.delete(ROLE, &DeleteParams::default()).await?;
    wait_permission(control_plane, namespace, "configmapsyncs", "get", false).await
}

/// Grants the operator these permissions in one namespace.
async fn bind_role(control_plane: &ControlPlane, namespace: &str, rules: Value) -> Result<()> {
    let metadata = json!({"name": ROLE, "namespace": namespace});
    let role = json!({"kind": "Role", "metadata": metadata, "rules": rules});
    control_plane.apply(with_version(role)).await?;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": OPERATOR}],
    });
    control_plane.apply(with_version(binding)).await?;
    Ok(())
}

fn with_version(mut object: Value) -> Value {
    object["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    object
}

async fn wait_permission(
    control_plane: &ControlPlane,
    namespace: &str,
    resource: &str,
    verb: &str,
    wanted: bool,
) -> Result<()> {
    let group = if resource.starts_with("configmapsync") { "apps.nishaf.info" } else { "" };
    let permission = Permission { namespace: Some(namespace), group, resource, verb };
    let may = if wanted { "may" } else { "may not" };
    let what = format!("the operator {may} {verb} {resource} in the namespace {namespace}");
    until(what, SOON, || async {
        let allowed = control_plane.may(OPERATOR_USER, permission).await?;
        Ok(Seen::from_bool(allowed == wanted, || format!("allowed: {allowed}")))
    })
    .await
}

/// Ends the operator's watch of a resource, such as `namespaces`, and denies new ones: the operator's
/// cache of it becomes stale. Undone by [`restore`].
///
/// Restarts the API server: replicas need [`crate::replica::Options::patient`].
pub async fn stop_watch(control_plane: &mut ControlPlane, resource: &str) -> Result<()> {
    revoke(control_plane, resource, &["list", "watch"]).await?;
    let mark = control_plane.audit().mark().await?;
    control_plane.restart_api_server().await?;
    // A new API server evaluates permissions from its own watches, which start with a delay.
    wait_permission(control_plane, "default", resource, "watch", false).await?;
    wait_permission(control_plane, "default", "configmapsyncs/status", "patch", true).await?;
    let others = ["configmaps", "configmapsyncs", "namespaces"];
    for other in others.into_iter().filter(|other| *other != resource) {
        let what = format!("the operator has a watch of {other} again");
        until(what, Duration::from_mins(1), || async {
            let events = control_plane.audit().since(mark).await?;
            let begun = events.iter().any(|event| {
                let is_watch = event.verb == "watch" && event.resource() == other;
                is_watch && event.user.username == OPERATOR_USER && !event.is_final()
            });
            Ok(Seen::from_bool(begun, || format!("no such watch among {} requests", events.len())))
        })
        .await?;
    }
    Ok(())
}
