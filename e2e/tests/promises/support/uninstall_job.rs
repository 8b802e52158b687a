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
use serde_json::Value;
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
        let control_plane = &cluster.control_plane;
        let (here, version) = (json!(OPERATOR), format!("{RBAC}/v1"));
        let metadata = |namespace: &Value| json!({"name": JOB, "namespace": namespace});
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(&here)});
        control_plane.apply(account).await?;
        let cluster_rules =
            [rules("cluster-role-rules.yaml")?, rules("delete-rules.yaml")?].concat();
        let scopes = [
            ("ClusterRole", Value::Null, cluster_rules),
            ("Role", here, rules("role-rules.yaml")?),
        ];
        for (kind, namespace, rules) in scopes {
            let subject = json!({"kind": "ServiceAccount", "name": JOB, "namespace": OPERATOR});
            let role = json!({"apiGroup": RBAC, "kind": kind, "name": JOB});
            let binding = format!("{kind}Binding");
            control_plane
                .apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata(&namespace), "rules": rules}))
                .await?;
            control_plane
                .apply(
                    json!({"apiVersion": version, "kind": binding, "metadata": metadata(&namespace),
                    "roleRef": role, "subjects": [subject]}),
                )
                .await?;
        }
        for (resource, group, verb) in [
            ("configmaps", "", "patch"),
            ("pods", "", "list"),
            ("leases", "coordination.k8s.io", "get"),
        ] {
            let namespace = (resource != "configmaps").then_some(OPERATOR);
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

/// The rules of the chart, for a release of the default name.
fn rules(file: &str) -> Result<Vec<PolicyRule>> {
    let path = repository::root().join("chart/files/uninstall").join(file);
    let mut text = fs::read_to_string(path).with_context(|| file.to_owned())?;
    for name in ["fullname", "clusterName"] {
        text = text.replace(&format!("{{{{ include `configmapsync.{name}` . }}}}"), OPERATOR);
    }
    serde_saphyr::from_str(&text).with_context(|| file.to_owned())
}
