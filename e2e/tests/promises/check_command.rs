//! Promise: `check` tells whether all is well, and what is not, to whoever may look.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::leader::ConfigMapSyncLeader;
use configmapsync::names;
use harness::cli::Ended;
use harness::cli::configmapsync;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
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

/// One replica, and a Deployment that says so.
async fn world() -> Result<OperatorCluster> {
    let world = OperatorCluster::start(1).await?;
    start_deployment(&world, OPERATOR, 1).await?;
    ready(&world, 1).await?;
    announce(&world).await?;
    Ok(world)
}

/// What the leader announces of itself.
async fn announce(world: &OperatorCluster) -> Result<()> {
    let client = world.control_plane.client();
    let lease = Api::<Lease>::namespaced(client, OPERATOR).get(OPERATOR).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).context("nobody leads")?;
    let announced = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSyncLeader",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": {
            "podUID": world.replicas[0].pod().uid,
            "holder": holder,
            "term": 1,
            "since": "2026-01-02T03:04:05Z",
        },
    });
    world.control_plane.apply(announced).await?;
    Ok(())
}

/// What the controller of Deployments, which does not run here, would tell.
async fn ready(world: &OperatorCluster, replicas: i32) -> Result<()> {
    let api = Api::<Deployment>::namespaced(world.control_plane.client(), OPERATOR);
    let generation = api.get(OPERATOR).await?.metadata.generation;
    let status = json!({"status": {
        "replicas": 1,
        "readyReplicas": replicas,
        "observedGeneration": generation,
    }});
    api.patch_status(OPERATOR, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

async fn check(world: &OperatorCluster) -> Result<(Ended, Findings)> {
    let ended = configmapsync(world.control_plane.kubeconfig(), &["check", "-o", "json"]).await?;
    let findings = findings(&ended)?;
    Ok((ended, findings))
}

fn findings(ended: &Ended) -> Result<Findings> {
    let found: Value =
        serde_json::from_str(&ended.printed).with_context(|| format!("{ended:?}"))?;
    let checks = found["checks"].as_array().cloned().unwrap_or_default();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let found = checks
        .iter()
        .map(|check| (text(check, "subject"), (text(check, "state"), text(check, "message"))));
    Ok(found.collect())
}

/// Makes sure that exactly this is wrong, with these words.
async fn ensure_wrong(world: &OperatorCluster, subject: &str, words: &str) -> Result<()> {
    let (ended, found) = check(world).await?;
    let wrong: Vec<_> = found.iter().filter(|(_, (state, _))| state != "ok").collect();
    let [(only, (state, message))] = wrong[..] else { anyhow::bail!("{wrong:#?}") };
    ensure!(ended.code == 1 && state == "wrong" && only == subject, "{wrong:#?}");
    ensure!(message.contains(words), "{message}");
    Ok(())
}

#[tokio::test]
async fn where_all_is_well_it_says_so_and_each_fault_is_named() -> Result<()> {
    let world = world().await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let kubeconfig = world.control_plane.kubeconfig();
    let well = configmapsync(kubeconfig, &["check"]).await?;
    ensure!(well.code == 0 && well.printed.contains("All is well."), "{well:?}");
    for words in ["configmapsync-fence", "configmapsyncleaders", "1 of 1 replicas", "leads"] {
        ensure!(well.printed.contains(words), "{words}: {well:?}");
    }

    ready(&world, 0).await?;
    ensure_wrong(&world, "Deployment configmapsync/configmapsync", "0 of 1 replicas").await?;
    ready(&world, 1).await?;

    permissions::forbid(&world.control_plane, "configmaps", &["delete"]).await?;
    ensure_wrong(&world, "configmaps everywhere", "may not delete").await?;
    permissions::permit(&world.control_plane, "configmaps", &["delete"]).await?;

    let leaders = Api::<ConfigMapSyncLeader>::namespaced(fixture.client(), OPERATOR);
    let announced = leaders.get(OPERATOR).await?.spec.holder;
    for (holder, words) in [("somebody", "somebody is announced"), (&announced, "")] {
        let patch = Patch::Merge(json!({"spec": {"holder": holder}}));
        leaders.patch(OPERATOR, &PatchParams::default(), &patch).await?;
        if !words.is_empty() {
            ensure_wrong(&world, "Lease configmapsync/configmapsync", words).await?;
        }
    }
    let (ended, found) = check(&world).await?;
    ensure!(ended.code == 0, "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_is_missing_or_weakened_is_named() -> Result<()> {
    let world = world().await?;
    let client = world.control_plane.client();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    let policies = Api::<ValidatingAdmissionPolicy>::all(client);
    let parameters = PatchParams::default();

    let binding = bindings.get(names::POLICY_MARKS).await?;
    let patch = Patch::Merge(json!({"spec": {"validationActions": ["Warn"]}}));
    bindings.patch(names::POLICY_MARKS, &parameters, &patch).await?;
    let subject = "ValidatingAdmissionPolicyBinding configmapsync-marks";
    ensure_wrong(&world, subject, "spec.validationActions").await?;
    bindings.delete(names::POLICY_MARKS, &DeleteParams::default()).await?;
    ensure_wrong(&world, subject, "missing").await?;
    let mut anew = binding;
    anew.metadata.resource_version = None;
    anew.metadata.uid = None;
    bindings.create(&PostParams::default(), &anew).await?;

    let never = json!([{"name": "never", "expression": "false"}]);
    let patch = Patch::Merge(json!({"spec": {"matchConditions": never}}));
    policies.patch(names::POLICY_BOUNDS, &parameters, &patch).await?;
    let subject = "ValidatingAdmissionPolicy configmapsync-bounds";
    ensure_wrong(&world, subject, "spec.matchConditions").await
}

#[tokio::test]
async fn syncs_that_are_older_than_the_policy_are_told() -> Result<()> {
    let world = world().await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app", "other"]).await?;
    for name in ["unchanged", "changed"] {
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    }
    let (ended, found) = check(&world).await?;
    let (state, said) = found.get("ConfigMapSyncs").context("no line about them")?;
    ensure!(ended.code == 0 && state == "ok" && said.starts_with("2, all younger"), "{said}");

    let policies = Api::<ValidatingAdmissionPolicy>::all(fixture.client());
    let mut policy = policies.get(names::POLICY_CONSENT).await?;
    policies.delete(names::POLICY_CONSENT, &DeleteParams::default()).await?;
    policy.metadata.resource_version = None;
    policy.metadata.uid = None;
    policies.create(&PostParams::default(), &policy).await?;
    // Times are whole seconds: the change has to fall into a later one.
    until("the change is younger than the policy", SOON, || async {
        let elsewhere = json!({"spec": {"destinationName": format!("n{}", fastrand::u32(..))}});
        fixture.patch_sync("central", "changed", &elsewhere).await?;
        let (_, found) = check(&world).await?;
        let said = found.get("ConfigMapSyncs").map(|(_, said)| said.clone()).unwrap_or_default();
        Ok(Seen::from_bool(said.contains("1 are older and were written since"), || said))
    })
    .await?;
    let (ended, found) = check(&world).await?;
    let (state, said) = found.get("ConfigMapSyncs").context("no line about them")?;
    ensure!(ended.code == 0 && state == "note", "{said}");
    ensure!(said.contains("(central/unchanged)"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_a_person_may_not_look_at_is_unknown_and_not_well() -> Result<()> {
    let world = world().await?;
    let cluster = &world.control_plane;
    let nobody = cluster.authority().issue_client("nobody", "nobody", &[])?;
    let kubeconfig = cluster.folder().join("nobody.kubeconfig");
    fs::write(&kubeconfig, cluster.kubeconfig_for(&Credential::Certificate(nobody))?)?;
    let ended = configmapsync(&kubeconfig, &["check", "-o", "json"]).await?;
    ensure!(ended.code == 1, "{ended:?}");
    let found = findings(&ended)?;
    let told = found.values().all(|(state, said)| state == "unknown" && said.contains("forbidden"));
    ensure!(told, "{found:#?}");
    Ok(())
}
