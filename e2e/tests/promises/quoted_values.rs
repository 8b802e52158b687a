//! A denial that quotes a value of a ConfigMap is withheld: the status, the Events and the log name
//! who denied the copy, and contain no value.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::requests_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::conditions::message;

/// Values that must occur in ConfigMaps only.
const PASSWORD: &str = "hunter2-8f14e45fceea167a";
const LINE: &str = "token: 45c48cce2e2d7fbd";
const PIN: &str = "4711";
const WITHHELD: &str = "message withheld: it quotes the ConfigMap";

/// The source: values to hide, and values so short that they occur in any text.
fn source() -> Vec<(&'static str, String)> {
    let script = format!("first line of the script\n  {LINE}\n");
    vec![
        ("password", PASSWORD.to_owned()),
        ("script", script),
        ("pin", PIN.to_owned()),
        ("empty", String::new()),
        ("one", "1".to_owned()),
        ("true", "true".to_owned()),
        ("a", "a".to_owned()),
    ]
}

/// A policy that denies an operation on ConfigMaps named `shared` in a namespace, with the message
/// that a CEL expression computes.
struct Quoting {
    namespace: &'static str,
    operation: &'static str,
    message: String,
}

impl Quoting {
    fn name(&self) -> String {
        format!("quoting-{}", self.namespace)
    }

    /// Installs the policy, and waits until the API server enforces it.
    async fn install(&self, cluster: &OperatorCluster) -> Result<()> {
        let version = "admissionregistration.k8s.io/v1";
        let metadata = json!({"name": self.name()});
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": [self.operation],
            "resources": ["configmaps"],
        });
        let here = format!("request.namespace == '{}'", self.namespace);
        let named = "request.name in ['shared', 'probe']";
        cluster
            .control_plane
            .apply(json!({
                "apiVersion": version,
                "kind": "ValidatingAdmissionPolicy",
                "metadata": metadata,
                "spec": {
                    "matchConstraints": {"resourceRules": [rule]},
                    "matchConditions": [
                        {"name": "here", "expression": here},
                        {"name": "named", "expression": named},
                    ],
                    "validations": [{"expression": "false", "messageExpression": self.message}],
                },
            }))
            .await?;
        let spec = json!({"policyName": self.name(), "validationActions": ["Deny"]});
        cluster
            .control_plane
            .apply(json!({
                "apiVersion": version,
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": metadata,
                "spec": spec,
            }))
            .await?;
        let client = cluster.control_plane.client();
        let maps = Api::<ConfigMap>::namespaced(client, self.namespace);
        until(format!("the API server enforces {}", self.name()), SOON, || async {
            let response = self.dry_run(&maps).await;
            let is_denied =
                response.as_ref().is_err_and(|error| error.to_string().contains("denied request"));
            Ok(Seen::from_bool(is_denied, || format!("{response:?}")))
        })
        .await
    }

    async fn dry_run(&self, maps: &Api<ConfigMap>) -> kube::Result<()> {
        let patch = PatchParams { dry_run: true, ..PatchParams::default() };
        let post = PostParams { dry_run: true, ..PostParams::default() };
        let label = Patch::Merge(json!({"metadata": {"labels": {"probe": "1"}}}));
        match self.operation {
            "CREATE" => {
                let mut probe = ConfigMap::default();
                probe.metadata.name = Some("probe".to_owned());
                maps.create(&post, &probe).await.map(drop)
            }
            "UPDATE" => maps.patch("shared", &patch, &label).await.map(drop),
            _ => maps.delete("shared", &DeleteParams::default().dry_run()).await.map(drop),
        }
    }
}

/// Fails if the ConfigMapSync, an Event or a log line contains a value, or a log line is missing.
async fn ensure_no_value(
    cluster: &OperatorCluster,
    since: Mark,
    syncs: &[ConfigMapSync],
) -> Result<()> {
    let events = cluster.audit().since(since).await?;
    let written = requests_by_operator(&events).filter(|event| event.resource() == "events");
    let written: Vec<_> = written.filter_map(|event| event.request_object.clone()).collect();
    ensure!(!written.is_empty(), "no Event was written");
    let replica = cluster.replicas.first().context("the cluster has no replica")?;
    let logged = json!(replica.logs()).to_string();
    ensure!(logged.contains("copy not written"), "{logged}");
    let places = [
        ("a status", serde_json::to_string(syncs)?),
        ("an Event", json!(written).to_string()),
        ("the log", logged),
    ];
    for (place, text) in &places {
        for value in [PASSWORD, LINE, "\"4711\"", "\\\"4711"] {
            ensure!(!text.contains(value), "{place} contains the value {value}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_denial_that_quotes_a_value_is_withheld() -> Result<()> {
    // Also at the most detailed level, no line contains a value.
    let debug = ("RUST_LOG".to_owned(), "debug".to_owned());
    let options = Options { environment: vec![debug], ..Options::default() };
    let cluster = OperatorCluster::start_with(1, options).await?;
    let fixture = cluster.fixture();
    let source = source();
    let data: Vec<_> = source.iter().map(|(key, value)| (*key, value.as_str())).collect();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &data).await?;
    let value = |key: &str| format!("has(object.data) ? object.data['{key}'] : ''");
    let cases = [
        ("whole", format!("'not allowed: ' + ({})", value("password")), true),
        ("line", format!("({}).trim().split('\\n').join(' / ')", value("script")), true),
        ("token", format!("'the pin \"' + ({}) + '\" is too short'", value("pin")), true),
        ("plain", "'timed out after 10s: a true error'".to_owned(), false),
    ];
    let mark = cluster.audit().mark().await?;
    let mut syncs = Vec::new();
    for (namespace, message, _) in &cases {
        fixture.create_namespaces(&[*namespace]).await?;
        let (namespace, message) = (*namespace, message.clone());
        Quoting { namespace, operation: "CREATE", message }.install(&cluster).await?;
        fixture
            .create_sync("central", namespace, one_to_one("central", "shared", namespace))
            .await?;
    }
    for (namespace, _, is_withheld) in cases {
        let sync = fixture.wait_reason("central", namespace, "Forbidden", SOON).await?;
        let reported = message(&sync);
        ensure!(reported.contains(&format!("quoting-{namespace}")), "{reported}");
        ensure!(reported.contains(&format!("{namespace}/shared")), "{reported}");
        ensure!(reported.contains(WITHHELD) == is_withheld, "{reported}");
        ensure!(
            reported.contains("timed out after 10s: a true error") != is_withheld,
            "{reported}"
        );
        syncs.push(sync);
    }
    ensure_no_value(&cluster, mark, &syncs).await
}

#[tokio::test]
async fn a_denial_that_quotes_the_existing_copy_is_withheld() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "updated", "deleted"]).await?;
    fixture.create_config_map("central", "shared", &[("password", PASSWORD)]).await?;
    let mark = cluster.audit().mark().await?;
    for namespace in ["updated", "deleted"] {
        fixture
            .create_sync("central", namespace, one_to_one("central", "shared", namespace))
            .await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
        let operation = if namespace == "updated" { "UPDATE" } else { "DELETE" };
        let message = "'was ' + oldObject.data['password']".to_owned();
        Quoting { namespace, operation, message }.install(&cluster).await?;
    }
    // A write of markers and one that removes the copy: neither sends the content.
    let labels = json!({"spec": {"destinationMetadata": {"labels": {"team": "a"}}}});
    fixture.patch_sync("central", "updated", &labels).await?;
    fixture.delete_sync("central", "deleted").await?;
    let mut syncs = Vec::new();
    for (name, reason) in [("updated", "Forbidden"), ("deleted", "Deleting")] {
        let what = format!("{name} reports that the message is withheld");
        let is_withheld = |sync: &ConfigMapSync| message(sync).contains("withheld");
        let sync = fixture.wait_sync("central", name, &what, SOON, is_withheld).await?;
        ensure!(message(&sync).contains(&format!("quoting-{name}")), "{}", message(&sync));
        ensure!(crate::support::conditions::reason(&sync) == reason, "{}", message(&sync));
        syncs.push(sync);
    }
    ensure_no_value(&cluster, mark, &syncs).await
}
