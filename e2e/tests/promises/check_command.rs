//! `check` reports each fault of an installation, and what the caller has no permission to read.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::leader::ConfigMapSyncLeader;
use configmapsync::names;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::kubeconfig::Credential;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::uninstall_steps::start_deployment;

/// State and message of each check, by its subject.
type Findings = BTreeMap<String, (String, String)>;

/// A cluster with one replica, its Deployment, and its leader record.
async fn installed_cluster() -> Result<OperatorCluster> {
    let cluster = OperatorCluster::start(1).await?;
    start_deployment(&cluster, OPERATOR, 1).await?;
    set_ready_replicas(&cluster, 1).await?;
    publish_leader_record(&cluster).await?;
    wait_enforced_for_certain(&cluster.fixture()).await?;
    Ok(cluster)
}

/// Writes the leader record of the replica.
async fn publish_leader_record(cluster: &OperatorCluster) -> Result<()> {
    let client = cluster.control_plane.client();
    let lease = Api::<Lease>::namespaced(client, OPERATOR).get(OPERATOR).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).context("no replica leads")?;
    let record = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSyncLeader",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": {
            "podUID": cluster.replicas[0].pod().uid,
            "holder": holder,
            "term": 1,
            "since": "2026-01-02T03:04:05Z",
        },
    });
    cluster.control_plane.apply(record).await?;
    Ok(())
}

/// Writes the status of the Deployment, whose controller does not run here.
async fn set_ready_replicas(cluster: &OperatorCluster, replicas: i32) -> Result<()> {
    let api = Api::<Deployment>::namespaced(cluster.control_plane.client(), OPERATOR);
    let generation = api.get(OPERATOR).await?.metadata.generation;
    let status = json!({"status": {
        "replicas": 1,
        "readyReplicas": replicas,
        "observedGeneration": generation,
    }});
    api.patch_status(OPERATOR, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

async fn check(cluster: &OperatorCluster) -> Result<(CommandResult, Findings)> {
    let ended = configmapsync(cluster.control_plane.kubeconfig(), &["check", "-o", "json"]).await?;
    let findings = findings(&ended)?;
    Ok((ended, findings))
}

fn findings(ended: &CommandResult) -> Result<Findings> {
    let found: Value = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    let checks = found["checks"].as_array().cloned().unwrap_or_default();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let found = checks
        .iter()
        .map(|check| (text(check, "subject"), (text(check, "state"), text(check, "message"))));
    Ok(found.collect())
}

/// Fails unless this subject, and no other, is wrong, with these words in its message.
async fn ensure_wrong(cluster: &OperatorCluster, subject: &str, words: &str) -> Result<()> {
    let (ended, found) = check(cluster).await?;
    let wrong: Vec<_> = found.iter().filter(|(_, (state, _))| state != "ok").collect();
    let [(only, (state, message))] = wrong[..] else { anyhow::bail!("{wrong:#?}") };
    ensure!(ended.code == 1 && state == "wrong" && only == subject, "{wrong:#?}");
    ensure!(message.contains(words), "{message}");
    Ok(())
}

#[tokio::test]
async fn check_reports_each_fault_and_no_other() -> Result<()> {
    let cluster = installed_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let output = configmapsync(kubeconfig, &["check"]).await?;
    ensure!(output.code == 0 && output.stdout.contains("All checks passed."), "{output:?}");
    for words in ["configmapsync-fence", "configmapsyncleaders", "1 of 1 replicas", "leads"] {
        ensure!(output.stdout.contains(words), "{words}: {output:?}");
    }

    set_ready_replicas(&cluster, 0).await?;
    ensure_wrong(&cluster, "Deployment configmapsync/configmapsync", "0 of 1 replicas").await?;
    set_ready_replicas(&cluster, 1).await?;

    permissions::revoke(&cluster.control_plane, "configmaps", &["delete"]).await?;
    ensure_wrong(&cluster, "configmaps in the cluster", "lacks delete").await?;
    permissions::restore(&cluster.control_plane, "configmaps", &["delete"]).await?;

    let leaders = Api::<ConfigMapSyncLeader>::namespaced(fixture.client(), OPERATOR);
    let leader = leaders.get(OPERATOR).await?.spec.holder;
    for (holder, words) in [("another", "names another"), (&leader, "")] {
        let patch = Patch::Merge(json!({"spec": {"holder": holder}}));
        leaders.patch(OPERATOR, &PatchParams::default(), &patch).await?;
        if !words.is_empty() {
            ensure_wrong(&cluster, "Lease configmapsync/configmapsync", words).await?;
        }
    }
    let (ended, found) = check(&cluster).await?;
    ensure!(ended.code == 0, "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn check_reports_missing_and_weakened_policies() -> Result<()> {
    let cluster = installed_cluster().await?;
    let client = cluster.control_plane.client();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    let policies = Api::<ValidatingAdmissionPolicy>::all(client);
    let parameters = PatchParams::default();

    let binding = bindings.get(names::POLICY_MARKS).await?;
    let patch = Patch::Merge(json!({"spec": {"validationActions": ["Warn"]}}));
    bindings.patch(names::POLICY_MARKS, &parameters, &patch).await?;
    let subject = "ValidatingAdmissionPolicyBinding configmapsync-marks";
    ensure_wrong(&cluster, subject, "spec.validationActions").await?;
    bindings.delete(names::POLICY_MARKS, &DeleteParams::default()).await?;
    ensure_wrong(&cluster, subject, "missing").await?;
    let mut recreated = binding;
    recreated.metadata.resource_version = None;
    recreated.metadata.uid = None;
    bindings.create(&PostParams::default(), &recreated).await?;

    let bounds = policies.get(names::POLICY_BOUNDS).await?;
    let mut protected = bounds.spec.clone().and_then(|it| it.validations).unwrap_or_default();
    for validation in &mut protected {
        validation.expression = validation.expression.replace("kube-public", "team-a");
    }
    let patch = Patch::Merge(json!({"spec": {"validations": protected}}));
    policies.patch(names::POLICY_BOUNDS, &parameters, &patch).await?;
    let subject = "ValidatingAdmissionPolicy configmapsync-bounds";
    ensure_wrong(&cluster, subject, "namespaces kube-system,team-a,").await?;
    let ended = configmapsync(cluster.control_plane.kubeconfig(), &["check"]).await?;
    let last = ended.stdout.lines().last().unwrap_or_default();
    ensure!(last.ends_with("checks, 1 is wrong."), "{last}");

    let never = json!([{"name": "never", "expression": "false"}]);
    let patch = Patch::Merge(json!({"spec": {"matchConditions": never}}));
    policies.patch(names::POLICY_BOUNDS, &parameters, &patch).await?;
    ensure_wrong(&cluster, subject, "spec.matchConditions").await
}

/// Waits until a ConfigMapSync that is created now counts as checked.
async fn wait_enforced_for_certain(fixture: &Fixture) -> Result<()> {
    let policies = Api::<ValidatingAdmissionPolicy>::all(fixture.client());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(fixture.client());
    let policy = policies.get(names::POLICY_CONSENT).await?.metadata.creation_timestamp;
    let binding = bindings.get(names::POLICY_CONSENT).await?.metadata.creation_timestamp;
    // Without its binding, a policy has no effect.
    let created = policy.max(binding).context("no creationTimestamp")?.0;
    until("the policy and its binding are older than 6 seconds", SOON, || async {
        let age = Timestamp::now().duration_since(created);
        Ok(Seen::from_bool(age > SignedDuration::from_secs(6), || format!("{age:?}")))
    })
    .await
}

#[tokio::test]
async fn check_lists_syncs_older_than_the_policy() -> Result<()> {
    let cluster = installed_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "other"]).await?;
    for name in ["unchanged", "changed"] {
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    }
    let (ended, found) = check(&cluster).await?;
    let (state, message) =
        found.get("ConfigMapSyncs").context("no finding about ConfigMapSyncs")?;
    ensure!(ended.code == 0 && state == "ok" && message.starts_with("2, all younger"), "{message}");

    let policies = Api::<ValidatingAdmissionPolicy>::all(fixture.client());
    let mut policy = policies.get(names::POLICY_CONSENT).await?;
    policies.delete(names::POLICY_CONSENT, &DeleteParams::default()).await?;
    policy.metadata.resource_version = None;
    policy.metadata.uid = None;
    policies.create(&PostParams::default(), &policy).await?;
    // Timestamps have a resolution of one second: the change must fall into a later second.
    until("check reports one change since the policy was installed", SOON, || async {
        let rename = json!({"spec": {"destinationName": format!("n{}", fastrand::u32(..))}});
        fixture.patch_sync("central", "changed", &rename).await?;
        let (_, found) = check(&cluster).await?;
        let message =
            found.get("ConfigMapSyncs").map(|(_, message)| message.clone()).unwrap_or_default();
        Ok(Seen::from_bool(message.contains("1 are older and were written since"), || message))
    })
    .await?;
    let (ended, found) = check(&cluster).await?;
    let (state, message) =
        found.get("ConfigMapSyncs").context("no finding about ConfigMapSyncs")?;
    ensure!(ended.code == 0 && state == "warning", "{message}");
    ensure!(message.contains("(central/unchanged)"), "{message}");
    ensure_warned(&cluster, "All checks passed, 1 with a warning.").await
}

/// Fails unless the last line of the output is `last`, and `--strict` makes the command fail.
async fn ensure_warned(cluster: &OperatorCluster, last: &str) -> Result<()> {
    let kubeconfig = cluster.control_plane.kubeconfig();
    for (arguments, code) in [(&["check"][..], 0), (&["check", "--strict"], 1)] {
        let ended = configmapsync(kubeconfig, arguments).await?;
        ensure!(ended.code == code && ended.stdout.lines().last() == Some(last), "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn check_warns_about_permissions_of_nobody() -> Result<()> {
    let cluster = installed_cluster().await?;
    let role = json!({
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "configmapsync",
    });
    let subject = json!({"kind": "ServiceAccount", "name": "configmapsync", "namespace": "former"});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": "former:x-configmapsync",
            "labels": {"app.kubernetes.io/name": "configmapsync"},
        },
        "roleRef": role,
        "subjects": [subject],
    });
    cluster.control_plane.apply(binding).await?;
    let (ended, found) = check(&cluster).await?;
    let subject = "ClusterRoleBinding former:x-configmapsync";
    let (state, message) = found.get(subject).with_context(|| format!("{found:#?}"))?;
    ensure!(ended.code == 0 && state == "warning" && message.contains("former"), "{message}");
    ensure_warned(&cluster, "All checks passed, 1 with a warning.").await?;
    cluster.fixture().create_namespaces(&["former"]).await?;
    let (ended, found) = check(&cluster).await?;
    ensure!(ended.code == 0 && found.values().all(|(state, _)| state == "ok"), "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn check_warns_about_a_scope_of_nobody() -> Result<()> {
    let cluster = installed_cluster().await?;
    // The binding of a limited installation, in a namespace of its scope.
    let name = "configmapsync-scope";
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    let subject = json!({"kind": "ServiceAccount", "name": "configmapsync", "namespace": "former"});
    let labels = json!({"app.kubernetes.io/name": "configmapsync"});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "roleRef": role,
        "subjects": [subject],
    });
    cluster.control_plane.apply(binding).await?;
    let (ended, found) = check(&cluster).await?;
    let subject = "RoleBinding default/configmapsync-scope";
    let (state, message) = found.get(subject).with_context(|| format!("{found:#?}"))?;
    let command = "kubectl --namespace default delete rolebinding configmapsync-scope";
    ensure!(ended.code == 0 && state == "warning" && message.contains(command), "{message}");
    ensure_warned(&cluster, "All checks passed, 1 with a warning.").await?;
    cluster.fixture().create_namespaces(&["former"]).await?;
    let (ended, found) = check(&cluster).await?;
    ensure!(ended.code == 0 && found.values().all(|(state, _)| state == "ok"), "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn check_reports_forbidden_reads_as_unknown() -> Result<()> {
    let cluster = installed_cluster().await?;
    let control_plane = &cluster.control_plane;
    let certificate = control_plane.authority().issue_client("guest", "guest", &[])?;
    let kubeconfig = control_plane.folder().join("guest.kubeconfig");
    fs::write(&kubeconfig, control_plane.kubeconfig_for(&Credential::Certificate(certificate))?)?;
    let ended = configmapsync(&kubeconfig, &["check", "-o", "json"]).await?;
    ensure!(ended.code == 1, "{ended:?}");
    let found = findings(&ended)?;
    let all_unknown =
        found.values().all(|(state, message)| state == "unknown" && message.contains("forbidden"));
    ensure!(all_unknown, "{found:#?}");
    Ok(())
}
