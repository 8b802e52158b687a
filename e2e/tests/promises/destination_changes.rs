//! When the destination namespace or the name of the copy changes, the new copy is written before
//! the old one is deleted. A copy exists at every moment, whatever crashes, and in the end only the
//! new one.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use kube::ResourceExt as _;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::deny_policy::DenyPolicy;
use crate::support::scale::propagation;

/// Deadline for the deletion of the old copy after a crash, which includes the election.
const AFTER_CRASH: Duration = Duration::from_mins(1);

async fn create_copy(cluster: &OperatorCluster) -> Result<(Fixture, String)> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["elsewhere"]).await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let uid = fixture
        .sync("central", "sync")
        .await?
        .context("no ConfigMapSync central/sync")?
        .metadata
        .uid;
    Ok((fixture, uid.unwrap_or_default()))
}

/// Fails unless a copy of this ConfigMapSync existed at every revision since its first, and in the
/// end only `last`.
async fn ensure_always_a_copy(recorder: &Recorder, uid: &str, last: &str) -> Result<()> {
    let history = recorder.history().await?;
    let is_copy = |it: &Change| it.object["metadata"]["labels"][names::LABEL_SYNC_UID] == uid;
    let fewest =
        history.fewest_present(Kind::ConfigMap, is_copy).context("no copy in any revision")?;
    ensure!(fewest > 0, "no copy at some revision: {history:#?}");
    let present = history.present(Kind::ConfigMap, history.end()).into_iter();
    let copies: Vec<_> = present.filter(|it| is_copy(it)).map(|it| it.at.to_string()).collect();
    ensure!(copies == [last], "{copies:?}");
    Ok(())
}

#[tokio::test]
async fn new_copy_is_written_before_the_old_one_is_deleted() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, uid) = create_copy(&cluster).await?;
    fixture.create_config_map("central", "renamed", &[("a", "1")]).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    let mut old = ("app", "shared");
    for (change, new) in [
        (json!({"destinationNamespace": "elsewhere"}), ("elsewhere", "shared")),
        (json!({"destinationName": "other"}), ("elsewhere", "other")),
        (json!({"destinationNamespace": "app", "destinationName": "both"}), ("app", "both")),
        (json!({"destinationName": null}), ("app", "shared")),
        (json!({"configMapName": "renamed"}), ("app", "renamed")),
        (json!({"destinationNamespace": "central", "destinationName": "x"}), ("central", "x")),
    ] {
        let mark = cluster.audit().mark().await?;
        fixture.patch_sync("central", "sync", &json!({"spec": change})).await?;
        fixture.wait_data(new.0, new.1, &[("a", "1")], propagation()).await?;
        fixture.wait_no_config_map(old.0, old.1, propagation()).await?;
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;

        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes(&events);
        let [create, delete] = &writes[..] else { anyhow::bail!("{}", lines(&writes)) };
        let expected = [("create", new.0, new.1), ("delete", old.0, old.1)];
        let seen = [create, delete].map(|it| (it.verb.as_str(), it.namespace(), it.name()));
        ensure!(seen == expected, "{}", lines(&writes));
        ensure!(create.succeeded() && delete.succeeded(), "{}", lines(&writes));
        let (created, deleted) = (&create.stage_timestamp.0, &delete.request_received_timestamp.0);
        ensure!(created < deleted, "created at {created}, deletion requested at {deleted}");
        old = new;
    }
    ensure_always_a_copy(&recorder, &uid, "central/x").await
}

#[tokio::test]
async fn changing_back_at_once_ends_with_the_first_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, uid) = create_copy(&cluster).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    let to = |namespace: &str| json!({"spec": {"destinationNamespace": namespace}});
    for cycle in 0..10 {
        fixture.patch_sync("central", "sync", &to("elsewhere")).await?;
        // Back at once, when the new copy exists, or when the old one is deleted.
        if cycle % 3 > 0 {
            fixture.wait_data("elsewhere", "shared", &[("a", "1")], propagation()).await?;
        }
        if cycle % 3 > 1 {
            fixture.wait_no_config_map("app", "shared", propagation()).await?;
        }
        fixture.patch_sync("central", "sync", &to("app")).await?;
        if cycle % 2 > 0 {
            fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
        }
    }
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure_always_a_copy(&recorder, &uid, "app/shared").await
}

/// Waits until the ConfigMapSync reports the refusal by the policy. Returns its status.
async fn wait_refused(fixture: &Fixture, name: &str) -> Result<Value> {
    let what = format!("{name} reports the refusal");
    let refused = |sync: &_| message(sync).contains("refused by a policy");
    let sync = fixture.wait_sync("central", name, &what, SOON, refused).await?;
    Ok(json!(sync.status))
}

#[tokio::test]
async fn a_crash_leaves_the_old_copy_or_both() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "a", "b", "no-create", "no-delete"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    // `before` cannot create its new copy, `after` cannot delete its old one.
    let syncs = [("before", "a", "no-create"), ("after", "no-delete", "b")];
    for (name, from, _) in syncs {
        fixture.create_sync("central", name, one_to_one("central", "shared", from)).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let recorder = Recorder::start(fixture.client()).await?;
    let no_create = DenyPolicy::install(&cluster.control_plane, "no-create", "CREATE").await?;
    let no_delete = DenyPolicy::install(&cluster.control_plane, "no-delete", "DELETE").await?;
    for (name, _, to) in syncs {
        let change = json!({"spec": {"destinationNamespace": to}});
        fixture.patch_sync("central", name, &change).await?;
    }
    let status = wait_refused(&fixture, "before").await?;
    let held = json!({"namespace": "a", "reason": "DeletionHeld"});
    let is_held =
        |it: &Value| it["namespace"] == held["namespace"] && it["reason"] == held["reason"];
    let failures = status["failures"].as_array().context("no failures")?;
    ensure!(
        failures.iter().any(is_held),
        "the deletion of the old copy is not reported as held: {status:#}"
    );
    wait_refused(&fixture, "after").await?;
    fixture.wait_data("b", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_data("no-delete", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_data("a", "shared", &[("a", "1")], propagation()).await?;

    cluster.replicas[0].process().kill()?;
    no_create.remove().await?;
    no_delete.remove().await?;
    cluster.replica()?.restart()?;
    let mut uids = Vec::new();
    for (name, from, to) in syncs {
        fixture.wait_no_config_map(from, "shared", AFTER_CRASH).await?;
        fixture.wait_data(to, "shared", &[("a", "1")], SOON).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
        let sync = fixture.sync("central", name).await?.context("the ConfigMapSync was deleted")?;
        uids.push((sync.uid().unwrap_or_default(), to));
    }
    for (uid, to) in uids {
        ensure_always_a_copy(&recorder, &uid, &format!("{to}/shared")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn old_copy_is_kept_while_the_new_one_cannot_be_written() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, uid) = create_copy(&cluster).await?;
    let recorder = Recorder::start(fixture.client()).await?;
    fixture.create_config_map("elsewhere", "shared", &[("a", "theirs")]).await?;
    for (namespace, reason) in [("elsewhere", "Conflict"), ("kube-system", "DestinationProtected")]
        .into_iter()
        .chain([("missing", "DestinationNamespaceNotFound")])
    {
        let change = json!({"spec": {"destinationNamespace": namespace}});
        fixture.patch_sync("central", "sync", &change).await?;
        fixture.wait_reason("central", "sync", reason, SOON).await?;
        fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    }
    fixture.create_namespaces(&["missing"]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    until("the old copy app/shared is deleted", propagation(), || async {
        let found = fixture.config_map("app", "shared").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await?;
    ensure_always_a_copy(&recorder, &uid, "missing/shared").await
}
