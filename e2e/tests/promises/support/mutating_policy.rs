//! An admission policy that mutates the ConfigMaps of one namespace.

use anyhow::Result;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::control_plane::Settings;
use testbed::wait::Seen;
use testbed::wait::until;

const VERSION: &str = "admissionregistration.k8s.io/v1beta1";
const NAME: &str = "mutation";

/// What a policy mutates, and how.
pub struct Mutation {
    pub operations: &'static [&'static str],
    /// A CEL expression: which objects are mutated.
    pub condition: &'static str,
    /// A CEL expression: the fields that are applied to the object.
    pub applied: &'static str,
}

/// A cluster with one replica, the source `central/shared` with `a: "1"`, and a policy that applies
/// `mutation` to the ConfigMaps in `app`. Returns when the API server enforces it: a creation with the
/// content of `probe`, as a dry run, `is_mutated`.
pub async fn mutating_cluster(
    mutation: &Mutation,
    probe: &Value,
    is_mutated: impl Fn(&ConfigMap) -> bool,
) -> Result<OperatorCluster> {
    let control_plane = ControlPlane::start_as(Settings::with_mutating_policies()).await?;
    harness::installation::install(&control_plane).await?;
    let cluster = OperatorCluster::start_in(control_plane, 1, Options::default()).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for object in mutation.objects() {
        cluster.control_plane.apply(object).await?;
    }
    let mut probe: ConfigMap = serde_json::from_value(probe.clone())?;
    probe.metadata.name = Some("probe".to_owned());
    let app = Api::<ConfigMap>::namespaced(cluster.control_plane.client(), "app");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    until("the policy mutates a ConfigMap", SOON, || async {
        let created = app.create(&dry_run, &probe).await?;
        Ok(Seen::from_bool(is_mutated(&created), || format!("{created:?}")))
    })
    .await?;
    Ok(cluster)
}

// === impl Mutation ===

impl Mutation {
    /// The policy and its binding.
    fn objects(&self) -> [Value; 2] {
        let metadata = json!({"name": NAME});
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": self.operations,
            "resources": ["configmaps"],
        });
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": "app"}});
        let policy = json!({
            "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
            "matchConditions": [{"name": "condition", "expression": self.condition}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": self.applied},
            }],
        });
        let object = |kind: &str, spec: Value| json!({"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec});
        let binding = json!({"policyName": NAME});
        [
            object("MutatingAdmissionPolicy", policy),
            object("MutatingAdmissionPolicyBinding", binding),
        ]
    }
}
