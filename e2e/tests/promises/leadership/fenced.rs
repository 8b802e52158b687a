//! Promise: a leader that the fence refuses looks whether it is still the one announced. If not, it
//! ends; if so, it tries again for five seconds, and then reports it like any other refusal.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncLeader;
use configmapsync::names::POLICY_FENCE;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::jiff::SignedDuration;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::OPERATOR_USER;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::leadership::edit_is_followed;
use crate::leadership::hasty;
use crate::support::audit::copy_writes;

/// Much sooner than a leader looks at its announcement unasked.
const ENDS: Duration = Duration::from_secs(15);
/// "Tried again for five seconds", less what the first answers took, and the last, which comes when
/// the five seconds are over.
const TRIED: SignedDuration = SignedDuration::from_secs(3);

/// Installs another fence, which lets pass what `expression` says.
async fn fence(world: &OperatorCluster, expression: &str) -> Result<()> {
    let version = "admissionregistration.k8s.io/v1";
    let label = json!({"key": "apps.nishaf.info/configmapsync-uid", "operator": "Exists"});
    let is_operator = format!("request.userInfo.username == '{OPERATOR_USER}'");
    world
        .control_plane
        .apply(json!({
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": POLICY_FENCE},
            "spec": {
                "paramKind": {
                    "apiVersion": "apps.nishaf.info/v1",
                    "kind": "ConfigMapSyncLeader",
                },
                "matchConstraints": {
                    "objectSelector": {"matchExpressions": [label]},
                    "resourceRules": [{
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE", "DELETE"],
                        "resources": ["configmaps"],
                    }],
                },
                "matchConditions": [{"name": "operator", "expression": is_operator}],
                "validations": [{"expression": expression, "reason": "Forbidden"}],
            },
        }))
        .await?;
    let parameter =
        json!({"name": OPERATOR, "namespace": OPERATOR, "parameterNotFoundAction": "Allow"});
    world
        .control_plane
        .apply(json!({
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": POLICY_FENCE},
            "spec": {
                "policyName": POLICY_FENCE,
                "paramRef": parameter,
                "validationActions": ["Deny"],
            },
        }))
        .await?;
    Ok(())
}

/// The log has no words of an answer that was asked for as metadata only. Nothing else refuses here.
fn refused(events: &[Event]) -> Vec<&Event> {
    let writes = copy_writes(events).into_iter();
    writes.filter(|it| it.response_status.code == 403).collect()
}

#[tokio::test]
async fn a_leader_that_is_refused_and_no_longer_announced_ends() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, hasty()).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    edit_is_followed(&fixture, "2", SOON).await?;
    world.wait_fenced(true).await?;
    let leaders = Api::<ConfigMapSyncLeader>::namespaced(fixture.client(), OPERATOR);
    let mark = world.audit().mark().await?;
    let another = Patch::Merge(json!({"spec": {"podUID": "another", "holder": "another"}}));
    leaders.patch(OPERATOR, &PatchParams::default(), &another).await?;

    // The API server needs a moment to know the policy, and what it compares with.
    let (began, mut edit) = (Instant::now(), 0);
    let replica = world.replica()?;
    let status = until("the leader has ended", ENDS, || {
        edit += 1;
        let patch = json!({"data": {"a": format!("edit {edit}")}});
        let fixture = fixture.clone();
        let status = replica.process().exit_status();
        async move {
            fixture.patch_config_map("central", "shared", &patch).await?;
            Ok(Seen::from_option(status?, || "it runs".to_owned()))
        }
    })
    .await?;
    eprintln!("it ended {:.1} s after another was announced", began.elapsed().as_secs_f32());
    ensure!(status.code() == Some(1), "a leader that was deposed ended with {status}");
    let told = replica.process().tail(3);
    ensure!(told.contains("the leader record (ConfigMapSyncLeader) names another"), "{told}");
    let events = world.audit().since(mark).await?;
    ensure!(!refused(&events).is_empty(), "{}", lines(&copy_writes(&events)));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_refused_although_announced_tries_again_and_then_says_so() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, hasty()).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    world.wait_fenced(true).await?;
    let mark = world.audit().mark().await?;
    fence(&world, "params.spec.podUID == 'nobody'").await?;
    let mut edit = 0;
    until("a write is refused", SOON, || {
        edit += 1;
        let patch = json!({"data": {"a": format!("edit {edit}")}});
        let (fixture, audit) = (fixture.clone(), world.audit());
        async move {
            fixture.patch_config_map("central", "shared", &patch).await?;
            let events = audit.since(mark).await?;
            Ok(Seen::from_bool(!refused(&events).is_empty(), || lines(&copy_writes(&events))))
        }
    })
    .await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    let events = world.audit().since(mark).await?;
    let tries = refused(&events);
    let times = || tries.iter().map(|it| it.stage_timestamp.0);
    let (first, last) = (times().min().context("no try")?, times().max().context("no try")?);
    ensure!(last.duration_since(first) >= TRIED && tries.len() > 2, "{}", lines(&tries));
    world.replica()?.process().expect_running()?;

    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(fixture.client());
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    edit_is_followed(&fixture, "at last", SOON).await
}
