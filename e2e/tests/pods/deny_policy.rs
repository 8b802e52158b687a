//! An admission policy that denies updates of one copy.

use anyhow::Result;
use harness::fixture::SOON;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::helm_cluster::HelmCluster;

/// The name of the policy, and of its binding.
const DENY_POLICY: &str = "e2e-deny";

impl HelmCluster {
    /// Denies updates of one copy to every user. Returns when the policy is enforced.
    pub async fn deny_updates(&self, copy: &str) -> Result<()> {
        let version = "admissionregistration.k8s.io/v1";
        let metadata = json!({"name": DENY_POLICY});
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["configmaps"],
            "resourceNames": [copy],
        });
        let kind = "ValidatingAdmissionPolicy";
        let policy = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "refused by a policy"}],
        }});
        self.control_plane().apply(policy).await?;
        let kind = "ValidatingAdmissionPolicyBinding";
        let spec = json!({"policyName": DENY_POLICY, "validationActions": ["Deny"]});
        let binding =
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        self.control_plane().apply(binding).await?;
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"labels": {"probe": "1"}}}));
        until(format!("updates of {copy} are refused"), SOON, || async {
            let response = self.config_maps().patch(copy, &dry_run, &patch).await;
            Ok(Seen::from_bool(response.is_err(), || "admitted".to_owned()))
        })
        .await
    }

    /// Removes the policy, without waiting until the API server no longer enforces it.
    pub async fn remove_deny_policy(&self) -> Result<()> {
        self.control_plane().remove_policy(DENY_POLICY).await
    }
}
