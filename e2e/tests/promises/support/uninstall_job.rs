//! The uninstall Job of the chart: its identity and its permissions, without a pod.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::UNINSTALL_USER;
use testbed::kubeconfig;
use testbed::kubeconfig::Credential;
use testbed::repository;
use testbed::users::Permission;
use testbed::wait::Seen;
use testbed::wait::until;

/// The name of the Job's ServiceAccount, roles and bindings.
pub const JOB: &str = "configmapsync-uninstall";
const RBAC: &str = "rbac.authorization.k8s.io";

/// The identity of the Job.
pub struct UninstallJob {
    kubeconfig: PathBuf,
}

impl UninstallJob {
    /// Creates the objects that the chart creates for the Job with `uninstall.deleteCopies`. The Job
    /// reaches the API server at `server`.
    pub async fn create(cluster: &OperatorCluster, server: &str) -> Result<Self> {
        let everywhere = [rules("uninstall/cluster-role-rules.yaml")?, delete_rules()?].concat();
        Self::create_with(cluster, server, &[(JOB.to_owned(), None, everywhere)]).await
    }

    /// As [`UninstallJob::create`], with a scope: these namespaces and the operator's own.
    pub async fn create_limited_to(
        cluster: &OperatorCluster,
        server: &str,
        namespaces: &[&str],
    ) -> Result<Self> {
        let cluster_rules = rules("scoped/uninstall-cluster-role-rules.yaml")?;
        let in_scope = [rules("scoped/uninstall-role-rules.yaml")?, delete_rules()?].concat();
        let mut roles = vec![(JOB.to_owned(), None, cluster_rules)];
        for namespace in namespaces.iter().copied().chain([OPERATOR]) {
            roles.push((format!("{JOB}-scope"), Some(namespace), in_scope.clone()));
        }
        Self::create_with(cluster, server, &roles).await
    }

    /// Each role is a name, a namespace, or none for the whole cluster, and rules.
    async fn create_with(
        cluster: &OperatorCluster,
        server: &str,
        roles: &[(String, Option<&str>, Vec<PolicyRule>)],
    ) -> Result<Self> {
        let control_plane = &cluster.control_plane;
        let version = format!("{RBAC}/v1");
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": JOB, "namespace": OPERATOR},
        });
        control_plane.apply(account).await?;
        let own = (JOB.to_owned(), Some(OPERATOR), rules("uninstall/role-rules.yaml")?);
        for (name, namespace, rules) in roles.iter().chain([&own]) {
            let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
            let subject = json!({"kind": "ServiceAccount", "name": JOB, "namespace": OPERATOR});
            let metadata = json!({"name": name, "namespace": namespace});
            let role = json!({"apiGroup": RBAC, "kind": kind, "name": name});
            let binding = format!("{kind}Binding");
            control_plane
                .apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules}))
                .await?;
            control_plane
                .apply(json!({"apiVersion": version, "kind": binding, "metadata": metadata,
                    "roleRef": role, "subjects": [subject]}))
                .await?;
        }
        for (resource, group, verb) in [
            ("configmaps", "", "patch"),
            ("pods", "", "list"),
            ("leases", "coordination.k8s.io", "get"),
        ] {
            let in_cluster = resource == "configmaps" && roles.len() == 1;
            let namespace = (!in_cluster).then_some(OPERATOR);
            let last = Permission { namespace, group, resource, verb };
            // Permissions for named objects are not visible without the name.
            if resource != "leases" {
                until(format!("the Job may {last:?}"), harness::fixture::SOON, || async {
                    let allowed = control_plane.may(UNINSTALL_USER, last).await?;
                    Ok(Seen::from_bool(allowed, || "not allowed".to_owned()))
                })
                .await?;
            }
        }
        let accounts = Api::<ServiceAccount>::namespaced(control_plane.client(), OPERATOR);
        let token = accounts
            .create_token_request(JOB, &PostParams::default(), &TokenRequest::default())
            .await?;
        let token = token.status.context("the response contains no token")?.token;
        let kubeconfig = control_plane.folder().join("uninstall-job.kubeconfig");
        let authority = control_plane.authority().certificate();
        let text = kubeconfig::render(server, authority, &Credential::Token(token))?;
        fs::write(&kubeconfig, text)?;
        Ok(Self { kubeconfig })
    }

    /// Runs the command of the Job with these additional arguments.
    pub async fn run(&self, arguments: &[&str]) -> Result<CommandResult> {
        let command = ["uninstall", "--yes"];
        configmapsync(&self.kubeconfig, &[&command[..], arguments].concat()).await
    }
}

fn delete_rules() -> Result<Vec<PolicyRule>> {
    rules("uninstall/delete-rules.yaml")
}

/// The rules of the chart, for a release of the default name.
fn rules(file: &str) -> Result<Vec<PolicyRule>> {
    let path = repository::root().join("chart/files").join(file);
    let mut text = fs::read_to_string(path).with_context(|| file.to_owned())?;
    for name in ["fullname", "clusterName"] {
        text = text.replace(&format!("{{{{ include `configmapsync.{name}` . }}}}"), OPERATOR);
    }
    serde_saphyr::from_str(&text).with_context(|| file.to_owned())
}
