//! A namespace with the annotation `apps.nishaf.info/no-copies: "true"` receives no copies: selectors
//! skip it, a ConfigMapSync that names it reports `DestinationRefused`, and existing copies follow
//! `deletionPolicy`. While the value is neither true nor false, nothing is copied, and nothing is
//! deleted.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::data_reads_by_operator;
use harness::audit_queries::is_about_leadership;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

const UNCHANGED: Duration = Duration::from_secs(2);

/// Sets the annotation `key` of a namespace, or removes it.
async fn annotate(
    fixture: &Fixture,
    namespace: &str,
    key: &str,
    value: Option<&str>,
) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    fixture.patch_namespace(namespace, &patch).await
}

async fn refuse(fixture: &Fixture, namespace: &str, value: Option<&str>) -> Result<()> {
    annotate(fixture, namespace, names::ANNOTATION_NO_COPIES, value).await
}

/// Waits for `DestinationRefused`, with `Stalled`; returns the message.
async fn wait_refused(fixture: &Fixture, name: &str) -> Result<String> {
    let sync = fixture.wait_reason("central", name, "DestinationRefused", propagation()).await?;
    let conditions = sync.status.clone().map(|status| status.conditions).unwrap_or_default();
    let stalled = conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True");
    ensure!(stalled, "the ConfigMapSync is not Stalled: {conditions:?}");
    Ok(message(&sync).to_owned())
}

/// The source `central/shared` and the namespaces `a` and `b` of one team.
async fn prepare(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    for name in ["a", "b"] {
        fixture.create_labelled_namespace(name, &[("team", "x")]).await?;
    }
    fixture.create_config_map("central", "shared", &[("key", "1")]).await?;
    Ok(())
}

async fn change_source(fixture: &Fixture, value: &str) -> Result<()> {
    let patch = json!({"data": {"key": value}});
    fixture.patch_config_map("central", "shared", &patch).await?;
    Ok(())
}

/// Fails if the operator has read data or written anything since `mark`.
async fn ensure_silent(cluster: &OperatorCluster, mark: Mark) -> Result<()> {
    let events = cluster.audit().since(mark).await?;
    let mut requests = writes_by_operator(&events);
    requests.extend(data_reads_by_operator(&events));
    requests.retain(|event| !is_about_leadership(event));
    ensure!(requests.is_empty(), "{}", lines(&requests));
    Ok(())
}

async fn ensure_not_written(cluster: &OperatorCluster, mark: Mark, namespace: &str) -> Result<()> {
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, namespace);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn a_selector_skips_namespaces_that_forbid_copies() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    prepare(&fixture).await?;
    refuse(&fixture, "b", Some("True")).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("team", "x")]))).await?;
    wait_copies_in(&fixture, "sync", &["a"], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    change_source(&fixture, "2").await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    ensure_not_written(&cluster, mark, "b").await?;

    // Allowed, then forbidden while a copy exists, then allowed again.
    refuse(&fixture, "b", Some("FALSE")).await?;
    wait_copies_in(&fixture, "sync", &["a", "b"], propagation()).await?;
    refuse(&fixture, "b", Some("true")).await?;
    wait_copies_in(&fixture, "sync", &["a"], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.wait_no_config_map("b", "shared", SOON).await?;
    refuse(&fixture, "b", None).await?;
    wait_copies_in(&fixture, "sync", &["a", "b"], propagation()).await?;
    fixture.wait_data("b", "shared", &[("key", "2")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    // No other annotation of a namespace matters.
    let mark = cluster.audit().mark().await?;
    annotate(&fixture, "b", "example.com/owner", Some("team-b")).await?;
    refuse(&fixture, "b", Some("false")).await?;
    stays("nothing is read or written", UNCHANGED, || async {
        ensure_silent(&cluster, mark).await?;
        Ok(Seen::Done(()))
    })
    .await
}

#[tokio::test]
async fn a_named_namespace_that_forbids_copies_is_refused() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    prepare(&fixture).await?;
    fixture.create_sync("central", "deleting", one_to_one("central", "shared", "a")).await?;
    let mut retaining = one_to_one("central", "shared", "b");
    retaining.deletion_policy = DeletionPolicy::Retain;
    fixture.create_sync("central", "retaining", retaining).await?;
    for name in ["deleting", "retaining"] {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    for (namespace, name) in [("a", "deleting"), ("b", "retaining")] {
        refuse(&fixture, namespace, Some("true")).await?;
        let message = wait_refused(&fixture, name).await?;
        ensure!(message.contains(&format!("namespace {namespace}")), "{message}");
        ensure!(message.contains("no-copies"), "{message}");
    }
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    let released = fixture.config_map("b", "shared").await?.context("the copy was deleted")?;
    let labels = released.metadata.labels.clone().unwrap_or_default();
    ensure!(!labels.contains_key(names::LABEL_SYNC_UID), "not released: {labels:?}");

    let mark = cluster.audit().mark().await?;
    let mut later = one_to_one("central", "shared", "a");
    later.destination_name = Some("later".to_owned());
    fixture.create_sync("central", "later", later).await?;
    wait_refused(&fixture, "later").await?;
    change_source(&fixture, "2").await?;
    stays("a and b are not written", UNCHANGED, || async {
        for namespace in ["a", "b"] {
            ensure_not_written(&cluster, mark, namespace).await?;
        }
        Ok(Seen::Done(()))
    })
    .await?;

    refuse(&fixture, "a", None).await?;
    for name in ["shared", "later"] {
        fixture.wait_data("a", name, &[("key", "2")], propagation()).await?;
    }
    for name in ["deleting", "later"] {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_unclear_no_copies_writes_and_deletes_nothing() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    prepare(&fixture).await?;
    fixture.create_sync("central", "selecting", to_selected(with_labels(&[("team", "x")]))).await?;
    let mut named = one_to_one("central", "shared", "b");
    named.destination_name = Some("named".to_owned());
    fixture.create_sync("central", "named", named).await?;
    for name in ["selecting", "named"] {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let mut before = "1".to_owned();
    for (index, value) in ["yes", ""].into_iter().enumerate() {
        refuse(&fixture, "b", Some(value)).await?;
        for name in ["selecting", "named"] {
            let message = wait_refused(&fixture, name).await?;
            ensure!(message.contains("set it to true or false"), "{message}");
        }
        let mark = cluster.audit().mark().await?;
        let changed = format!("{}", index + 2);
        change_source(&fixture, &changed).await?;
        fixture.wait_data("a", "shared", &[("key", &changed)], propagation()).await?;
        stays("the copies in b are unchanged", UNCHANGED, || async {
            ensure_not_written(&cluster, mark, "b").await?;
            for name in ["shared", "named"] {
                let copy = fixture.config_map("b", name).await?;
                let data = copy.and_then(|copy| copy.data).unwrap_or_default();
                ensure!(data.get("key") == Some(&before), "{name}: {data:?}");
            }
            Ok(Seen::Done(()))
        })
        .await?;
        refuse(&fixture, "b", None).await?;
        for name in ["shared", "named"] {
            fixture.wait_data("b", name, &[("key", &changed)], propagation()).await?;
        }
        before = changed;
    }
    // It does not delay the deletion of a ConfigMapSync.
    refuse(&fixture, "b", Some("yes")).await?;
    for name in ["selecting", "named"] {
        wait_refused(&fixture, name).await?;
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    for name in ["shared", "named"] {
        fixture.wait_no_config_map("b", name, SOON).await?;
    }
    Ok(())
}
