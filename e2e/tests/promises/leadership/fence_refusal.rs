//! A leader whose write the fence refuses reads the leader record. If the record names another pod,
//! it exits; otherwise it retries for five seconds, then reports the refusal like any other.

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

use crate::leadership::support::edit_and_wait;
use crate::leadership::support::short_lease;
use crate::support::audit::copy_writes;

/// Deadline of the exit, far below the period in which a leader reads its record anyway.
const EXITS: Duration = Duration::from_secs(15);
/// Minimum time between the first and the last refusal: five seconds, less the duration of the
/// requests.
const RETRIED_FOR: SignedDuration = SignedDuration::from_secs(3);

/// Replaces the fence by a policy that admits writes for which `expression` is true.
async fn replace_fence(cluster: &OperatorCluster, expression: &str) -> Result<()> {
    let version = "admissionregistration.k8s.io/v1";
    let label = json!({"key": "apps.nishaf.info/configmapsync-uid", "operator": "Exists"});
    let is_operator = format!("request.userInfo.username == '{OPERATOR_USER}'");
    cluster
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
    cluster
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

/// The refused writes of copies. The audit log lacks the message of responses with metadata only,
/// but nothing else refuses writes here.
fn refused(events: &[Event]) -> Vec<&Event> {
    let writes = copy_writes(events).into_iter();
    writes.filter(|it| it.response_status.code == 403).collect()
}

#[tokio::test]
async fn a_refused_leader_exits_if_replaced_in_the_record() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    edit_and_wait(&fixture, "2", SOON).await?;
    cluster.wait_fenced(true).await?;
    let leaders = Api::<ConfigMapSyncLeader>::namespaced(fixture.client(), OPERATOR);
    let mark = cluster.audit().mark().await?;
    let another = Patch::Merge(json!({"spec": {"podUID": "another", "holder": "another"}}));
    leaders.patch(OPERATOR, &PatchParams::default(), &another).await?;

    // The API server needs a moment to receive the policy and the record.
    let (began, mut edit) = (Instant::now(), 0);
    let replica = cluster.replica()?;
    let status = until("the leader exits", EXITS, || {
        edit += 1;
        let patch = json!({"data": {"a": format!("edit {edit}")}});
        let fixture = fixture.clone();
        let status = replica.process().exit_status();
        async move {
            fixture.patch_config_map("central", "shared", &patch).await?;
            Ok(Seen::from_option(status?, || "still running".to_owned()))
        }
    })
    .await?;
    eprintln!(
        "the leader exited {:.1} s after the record named another pod",
        began.elapsed().as_secs_f32()
    );
    ensure!(status.code() == Some(1), "the replaced leader exited with {status}");
    let log = replica.process().tail(3);
    ensure!(log.contains("the leader record (ConfigMapSyncLeader) names another"), "{log}");
    let events = cluster.audit().since(mark).await?;
    ensure!(!refused(&events).is_empty(), "{}", lines(&copy_writes(&events)));
    Ok(())
}

#[tokio::test]
async fn a_refused_leader_in_the_record_retries_then_reports() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    cluster.wait_fenced(true).await?;
    let mark = cluster.audit().mark().await?;
    replace_fence(&cluster, "params.spec.podUID == 'none'").await?;
    let mut edit = 0;
    until("a write is refused", SOON, || {
        edit += 1;
        let patch = json!({"data": {"a": format!("edit {edit}")}});
        let (fixture, audit) = (fixture.clone(), cluster.audit());
        async move {
            fixture.patch_config_map("central", "shared", &patch).await?;
            let events = audit.since(mark).await?;
            Ok(Seen::from_bool(!refused(&events).is_empty(), || lines(&copy_writes(&events))))
        }
    })
    .await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let attempts = refused(&events);
    let times = || attempts.iter().map(|it| it.stage_timestamp.0);
    let (first, last) =
        (times().min().context("no attempt")?, times().max().context("no attempt")?);
    ensure!(
        last.duration_since(first) >= RETRIED_FOR && attempts.len() > 2,
        "{}",
        lines(&attempts)
    );
    cluster.replica()?.process().expect_running()?;

    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(fixture.client());
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    edit_and_wait(&fixture, "at last", SOON).await
}
