//! People and programs who are not the administrator, and what they may do.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use kube::Api;
use kube::Client;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::kubeconfig;
use crate::kubeconfig::Credential;
use crate::wait::Seen;
use crate::wait::until;

const RBAC: &str = "rbac.authorization.k8s.io";
/// A controller aggregates the rules of the built-in roles; generous, for a machine under load.
const GRANTED: Duration = Duration::from_mins(1);

/// One permission.
#[derive(Clone, Copy, Debug)]
pub struct Permission<'a> {
    /// The namespace; `None`: all namespaces.
    pub namespace: Option<&'a str>,
    /// API group; empty for the core group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The verb.
    pub verb: &'a str,
}

impl ControlPlane {
    /// A client of a user without groups, without permissions.
    pub async fn user_client(&self, user: &str) -> Result<Client> {
        let files = self.authority().issue_client(user, user, &[])?;
        let text = self.kubeconfig_for(&Credential::Certificate(files))?;
        let file = self.folder().join(format!("{user}.kubeconfig"));
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        kubeconfig::client(&file).await
    }

    /// Grants `user` these rules (as in a `Role`) in one namespace, or in all, and waits until `last`
    /// is allowed.
    pub async fn grant(
        &self,
        user: &str,
        namespace: Option<&str>,
        rules: Value,
        last: Permission<'_>,
    ) -> Result<()> {
        let name = format!("e2e-{user}");
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let metadata = json!({"name": name, "namespace": namespace});
        let version = format!("{RBAC}/v1");
        let role = json!({
            "apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules,
        });
        self.apply(role).await?;
        self.bind(user, namespace, kind, &name, last).await
    }

    /// Binds `user` to an existing role, and waits until `last` is allowed.
    pub async fn bind(
        &self,
        user: &str,
        namespace: Option<&str>,
        kind: &str,
        role: &str,
        last: Permission<'_>,
    ) -> Result<()> {
        let binding = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
        let name = format!("e2e-{user}-{role}");
        self.apply(json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": binding,
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        }))
        .await?;
        until(format!("{user} may {last:?}"), GRANTED, || async {
            let allowed = self.may(user, last).await?;
            Ok(Seen::from_bool(allowed, || "not allowed".to_owned()))
        })
        .await
    }

    /// Whether RBAC grants `user` the permission. A ServiceAccount has the groups of all of them.
    pub async fn may(&self, user: &str, permission: Permission<'_>) -> Result<bool> {
        let (resource, subresource) =
            permission.resource.split_once('/').unwrap_or((permission.resource, ""));
        let attributes = ResourceAttributes {
            namespace: permission.namespace.map(str::to_owned),
            verb: Some(permission.verb.to_owned()),
            group: Some(permission.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            ..ResourceAttributes::default()
        };
        let groups = user.starts_with("system:serviceaccount:").then(|| {
            ["system:serviceaccounts", "system:authenticated"].map(str::to_owned).to_vec()
        });
        let spec = SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups,
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews = Api::<SubjectAccessReview>::all(self.client());
        let response = reviews.create(&PostParams::default(), &review).await?;
        Ok(response.status.is_some_and(|status| status.allowed))
    }
}
