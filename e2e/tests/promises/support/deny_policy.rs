//! An admission policy that denies writes of ConfigMaps.

use anyhow::Result;
use harness::fixture::SOON;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;

/// Published by Kubernetes in every namespace: an object for dry runs of updates and deletions.
const ROOT_CA: &str = "kube-root-ca.crt";

/// An installed admission policy that denies one operation on ConfigMaps in one namespace.
pub struct DenyPolicy<'a> {
    control_plane: &'a ControlPlane,
    namespace: String,
    operation: &'static str,
}

impl<'a> DenyPolicy<'a> {
    /// Denies `CREATE`, `UPDATE` or `DELETE` to every user, as invalid (422). Returns when the API
    /// server enforces it.
    pub async fn install(
        control_plane: &'a ControlPlane,
        namespace: &str,
        operation: &'static str,
    ) -> Result<Self> {
        let policy = Self { control_plane, namespace: namespace.to_owned(), operation };
        let version = "admissionregistration.k8s.io/v1";
        let kind = "ValidatingAdmissionPolicy";
        let metadata = json!({"name": policy.name()});
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": [operation],
            "resources": ["configmaps"],
        });
        let here = format!("request.namespace == '{namespace}'");
        let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "here", "expression": here}],
            "validations": [{"expression": "false", "message": "refused by a policy"}],
        }});
        control_plane.apply(object).await?;
        let kind = "ValidatingAdmissionPolicyBinding";
        let spec = json!({"policyName": policy.name(), "validationActions": ["Deny"]});
        let binding =
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        control_plane.apply(binding).await?;
        policy.wait(true).await?;
        Ok(policy)
    }

    /// Removes the policy. Returns when the API server no longer enforces it.
    pub async fn remove(self) -> Result<()> {
        let client = self.control_plane.client();
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
        bindings.delete(&self.name(), &DeleteParams::default()).await?;
        let policies = Api::<ValidatingAdmissionPolicy>::all(client);
        policies.delete(&self.name(), &DeleteParams::default()).await?;
        self.wait(false).await
    }

    fn name(&self) -> String {
        format!("e2e-{}-{}", self.namespace, self.operation.to_lowercase())
    }

    async fn wait(&self, denied: bool) -> Result<()> {
        let reaction = if denied { "denies" } else { "admits" };
        let what = format!("the API server {reaction} {} in {}", self.operation, self.namespace);
        until(what, SOON, || async {
            let response = self.dry_run().await;
            let is_denied =
                response.as_ref().is_err_and(|error| error.contains("refused by a policy"));
            Ok(Seen::from_bool(is_denied == denied, || format!("{response:?}")))
        })
        .await
    }

    /// The response to a dry run of the operation.
    async fn dry_run(&self) -> Result<(), String> {
        let maps = Api::<ConfigMap>::namespaced(self.control_plane.client(), &self.namespace);
        let post = PostParams { dry_run: true, ..PostParams::default() };
        let patch = PatchParams { dry_run: true, ..PatchParams::default() };
        let label = Patch::Merge(json!({"metadata": {"labels": {"probe": "1"}}}));
        let named = json!({"metadata": {"name": "e2e-probe"}});
        let named = serde_json::from_value(named).map_err(|error| error.to_string())?;
        let response = match self.operation {
            "CREATE" => maps.create(&post, &named).await.map(drop),
            "UPDATE" => maps.patch(ROOT_CA, &patch, &label).await.map(drop),
            _ => maps.delete(ROOT_CA, &DeleteParams::default().dry_run()).await.map(drop),
        };
        response.map_err(|error| error.to_string())
    }
}
