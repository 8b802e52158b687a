//! The policy `configmapsync-consent` is installed with the `CustomResourceDefinition`s, and stays with
//! them: no ConfigMapSync is written unchecked while no operator is installed.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use configmapsync::names::POLICY_CONSENT;
use harness::attempt::Attempt;
use harness::attempt::syncs;
use harness::cli::configmapsync;
use harness::documented::Shell;
use harness::documented::blocks;
use harness::fixture::Fixture;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::Api;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::helm::Version;
use testbed::users::Permission;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::RefusedBy;
use crate::support::charts::earlier_chart;

/// Installs the chart, or upgrades it.
const HELM: &str = "helm upgrade --install --reset-values configmapsync";
const NAMESPACE: &str = "--namespace configmapsync --create-namespace";
/// The values that disable the policy.
const DISABLED: &str = "--set policies.consent=false --set rbac.aggregate=false";

/// The policy and its binding.
#[derive(Debug, PartialEq)]
struct Consent {
    /// The uids of both.
    uids: [Option<String>; 2],
    /// Whether Helm keeps both.
    is_kept: bool,
}

impl Consent {
    /// What exists of both.
    async fn read(control_plane: &ControlPlane) -> Result<Self> {
        let client = control_plane.client();
        let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
        let policy = policies.get_opt(POLICY_CONSENT).await?.map(|it| it.metadata);
        let binding = bindings.get_opt(POLICY_CONSENT).await?.map(|it| it.metadata);
        let found = [policy, binding];
        let is_kept = found.iter().flatten().all(|metadata| {
            let annotations = metadata.annotations.iter().flatten();
            annotations
                .clone()
                .any(|(key, value)| key == "helm.sh/resource-policy" && value == "keep")
        });
        Ok(Self { uids: found.map(|it| it?.uid), is_kept })
    }

    /// Fails unless both exist, and are those of `first`.
    async fn ensure_same(control_plane: &ControlPlane, first: &Self) -> Result<()> {
        let now = Self::read(control_plane).await?;
        ensure!(now.uids == first.uids && now.uids.iter().all(Option::is_some), "{now:?}");
        ensure!(now.is_kept, "{now:?}");
        Ok(())
    }
}

async fn start() -> Result<(ControlPlane, Shell)> {
    let control_plane = ControlPlane::start().await?;
    let shell = Shell::new(control_plane.kubeconfig(), control_plane.folder()).await?;
    Ok((control_plane, shell))
}

#[tokio::test]
async fn a_tenant_is_refused_after_the_operator_is_removed() -> Result<()> {
    let (control_plane, shell) = start().await?;
    shell.run("kubectl apply --kustomize deploy/crds; kubectl apply --kustomize deploy").await?;
    shell
        .run("kubectl wait --for=condition=Established --timeout=20s crd/configmapsyncs.apps.nishaf.info")
        .await?;
    let first = Consent::read(&control_plane).await?;
    let done = configmapsync(control_plane.kubeconfig(), &["uninstall", "--yes"]).await?;
    ensure!(done.code == 0, "{done:?}");
    shell.run("kubectl delete --kustomize deploy --ignore-not-found --wait=false").await?;
    Consent::ensure_same(&control_plane, &first).await?;

    let fixture = Fixture::new(control_plane.client());
    fixture.create_namespaces(&["victim", "tenant"]).await?;
    let tenant = control_plane.user_client("tenant").await?;
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let last = Permission {
        namespace: Some("tenant"),
        group: "apps.nishaf.info",
        resource: "configmapsyncs",
        verb: "create",
    };
    control_plane.grant("tenant", Some("tenant"), everything, last).await?;
    let sync = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": "theft", "namespace": "tenant"},
        "spec": {
            "sourceNamespace": "victim",
            "configMapName": "secret",
            "destinationNamespace": "tenant",
        },
    });
    let attempt = Attempt::create("copy victim/secret", syncs("tenant"), sync);
    let mut table = AttemptTable::default();
    table.add(("tenant", &tenant), &attempt, RefusedBy(POLICY_CONSENT)).await?;
    table.finish()
}

#[tokio::test]
async fn helm_keeps_the_consent_policy() -> Result<()> {
    let (control_plane, shell) = start().await?;
    let earlier = earlier_chart(control_plane.folder())?;
    shell.run(&format!("{HELM} {earlier} {NAMESPACE}")).await?;
    let first = Consent::read(&control_plane).await?;
    ensure!(!first.is_kept, "{first:?}");
    // Without the CustomResourceDefinitions, the chart no longer contains the policy.
    let dropped = format!("{HELM} chart {NAMESPACE} --set crds.install=false");
    let refused = shell.try_run(&dropped).await?;
    let words = "kubectl apply --kustomize deploy/crds";
    ensure!(!refused.is_success && refused.output.contains(words), "{refused:?}");

    shell.run(&format!("{HELM} chart {NAMESPACE}")).await?;
    Consent::ensure_same(&control_plane, &first).await?;
    shell.run(&dropped).await?;
    Consent::ensure_same(&control_plane, &first).await?;

    let disable = format!("{HELM} chart {NAMESPACE} {DISABLED}");
    for script in [&disable, &format!("{HELM} chart {NAMESPACE}")] {
        shell.run(script).await?;
        Consent::ensure_same(&control_plane, &first).await?;
    }
    let notes = shell.run(&disable).await?;
    let remove = notes.lines().find(|line| line.contains("kubectl delete validatingadmission"));
    shell.run(remove.with_context(|| notes.clone())?.trim()).await?;
    let gone = Consent::read(&control_plane).await?;
    ensure!(gone.uids == [None, None], "{gone:?}");

    shell.run(&format!("{HELM} chart {NAMESPACE}")).await?;
    let second = Consent::read(&control_plane).await?;
    shell.run("helm uninstall configmapsync --namespace configmapsync --no-hooks").await?;
    Consent::ensure_same(&control_plane, &second).await?;
    shell.run(&format!("{HELM} chart {NAMESPACE}")).await?;
    Consent::ensure_same(&control_plane, &second).await
}

#[tokio::test]
async fn chart_and_manifests_share_the_consent_policy() -> Result<()> {
    let (control_plane, shell) = start().await?;
    let apply = "kubectl apply --kustomize deploy/crds";
    shell.run(apply).await?;
    let first = Consent::read(&control_plane).await?;
    let without_crds = format!("{HELM} chart {NAMESPACE} --set crds.install=false");
    for script in [without_crds.as_str(), apply, &without_crds] {
        shell.run(script).await?;
        Consent::ensure_same(&control_plane, &first).await?;
    }
    shell.run("helm uninstall configmapsync --namespace configmapsync --no-hooks").await?;
    Consent::ensure_same(&control_plane, &first).await?;

    // The chart with the CustomResourceDefinitions takes them over on request.
    let with_crds = format!("{HELM} chart {NAMESPACE}");
    let refused = shell.try_run(&with_crds).await?;
    let words = "invalid ownership metadata";
    ensure!(!refused.is_success && refused.output.contains(words), "{refused:?}");
    shell.run(&format!("{with_crds} --take-ownership")).await?;
    shell.run(apply).await?;
    shell.run(&with_crds).await?;
    Consent::ensure_same(&control_plane, &first).await?;

    // So does another release, in another namespace.
    shell.run("helm uninstall configmapsync --namespace configmapsync --no-hooks").await?;
    let other = "helm upgrade --install other chart --namespace other --create-namespace";
    let refused = shell.try_run(other).await?;
    ensure!(!refused.is_success && refused.output.contains(words), "{refused:?}");
    shell.run(&format!("{other} --take-ownership")).await?;
    shell.run(other).await?;
    Consent::ensure_same(&control_plane, &first).await
}

/// A cluster with the chart installed by this version of Helm, and the command that installs it.
async fn installed(version: Version) -> Result<(ControlPlane, Shell, String)> {
    let (control_plane, _) = start().await?;
    let files = (control_plane.kubeconfig(), control_plane.folder());
    let shell = Shell::with_helm(version, files.0, files.1).await?;
    let chart = format!("{HELM} chart {NAMESPACE}");
    shell.run(&chart).await?;
    Ok((control_plane, shell, chart))
}

#[tokio::test]
async fn a_rollback_over_the_kept_policy_changes_nothing() -> Result<()> {
    for version in Version::ALL {
        let (control_plane, shell, chart) = installed(version).await?;
        let first = Consent::read(&control_plane).await?;
        shell.run(&format!("{chart} --set crds.install=false")).await?;
        let rollback = "helm rollback configmapsync --namespace configmapsync";
        let ended = shell.try_run(rollback).await?;
        let is_expected = match version {
            Version::V3 => ended.output.contains("metadata.resourceVersion: Invalid value"),
            Version::V4 => ended.is_success,
        };
        ensure!(is_expected, "{version:?}: {ended:?}");
        Consent::ensure_same(&control_plane, &first).await?;
        shell.run(&chart).await?;
        Consent::ensure_same(&control_plane, &first).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upgrade_while_the_policy_only_warns() -> Result<()> {
    for version in Version::ALL {
        let (_control_plane, shell, chart) = installed(version).await?;
        let patches = blocks("security.md", "### How do I get past a policy in an emergency?")?;
        let [warn, deny] = patches.as_slice() else { bail!("{patches:?}") };
        shell.run(warn).await?;
        let ended = shell.try_run(&chart).await?;
        let actions = "kubectl get validatingadmissionpolicybinding configmapsync-consent \
                       --output jsonpath={.spec.validationActions}";
        let now = shell.run(actions).await?;
        let is_expected = match version {
            Version::V3 => ended.is_success && now.contains("Deny"),
            Version::V4 => ended.output.contains("must not contain both Deny and Warn"),
        };
        ensure!(is_expected, "{version:?}: {now}, {ended:?}");
        for script in [deny, &chart] {
            shell.run(script).await?;
        }
        ensure!(shell.run(actions).await?.contains("Deny"), "{version:?}: it is not enforced");
    }
    Ok(())
}
