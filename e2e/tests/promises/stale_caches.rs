//! What a replica has not yet observed is not overwritten or deleted: decisions on a state that is
//! out of date have no effect, and a new leader decides on complete lists only.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::scale::propagation;

/// More events than any watch delivers in a test: all are held back.
const ALL: usize = 1_000;
/// Long enough for many decisions.
const HELD: Duration = Duration::from_secs(3);

/// A ConfigMapSync is deleted and created again with the same name, and the copy belongs to the new
/// one, while the watches are late. Then the deletion of the first one arrives alone.
#[tokio::test]
async fn a_late_deletion_deletes_nothing_of_a_new_sync() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    for resource in ["configmapsyncs", "configmaps"] {
        proxy.lag(resource, ALL);
    }

    fixture.delete_sync("central", "sync").await?;
    fixture.patch_sync("central", "sync", &json!({"metadata": {"finalizers": null}})).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let spec = one_to_one("central", "shared", "app");
    let sync = fixture.create_sync("central", "sync", spec).await?;
    let uid = sync.metadata.uid.context("no uid")?;
    let owned = json!({"metadata": {"labels": {names::LABEL_SYNC_UID: uid}}});
    fixture.patch_config_map("app", "shared", &owned).await?;
    let held = until("the watch of ConfigMapSyncs has received the changes", SOON, || async {
        let events = proxy.events().into_iter();
        let events: Vec<_> = events.filter(|it| it.resource == "configmapsyncs").collect();
        let deleted = events.iter().position(|it| it.change == "DELETED");
        let created = deleted.is_some_and(|at| events[at..].iter().any(|it| it.change == "ADDED"));
        let later = deleted.map(|at| events.len() - at);
        Ok(Seen::from_option(later.filter(|_| created), || format!("{events:?}")))
    })
    .await?;
    let is_deletion = |it: &Request| {
        it.method == Method::DELETE && it.namespace() == "app" && it.resource() == "configmaps"
    };
    // All events up to the deletion timestamp arrive.
    proxy.lag("configmapsyncs", held);
    until("the operator has tried to delete the copy", SOON, || async {
        let tries: Vec<_> = proxy.requests().into_iter().filter(is_deletion).collect();
        let refused = tries.iter().any(|it| it.status == Some(409));
        Ok(Seen::from_bool(refused, || format!("{tries:?}")))
    })
    .await?;
    stays("the copy and the new ConfigMapSync exist", HELD, || async {
        let kept = fixture.config_map("app", "shared").await?;
        let kept = kept.is_some_and(|it| it.metadata.uid == copy.metadata.uid);
        let sync = fixture.sync("central", "sync").await?;
        let exists = sync.is_some_and(|it| it.metadata.uid.as_ref() == Some(&uid));
        Ok(Seen::from_bool(kept && exists, || format!("copy: {kept}, ConfigMapSync: {exists}")))
    })
    .await?;

    for resource in ["configmapsyncs", "configmaps"] {
        proxy.lag(resource, 0);
    }
    let is_held = |it: &configmapsync::api::ConfigMapSync| {
        it.metadata.finalizers.iter().flatten().any(|it| it == names::FINALIZER)
    };
    fixture.wait_sync("central", "sync", "the new one has its finalizer", SOON, is_held).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let now = fixture.config_map("app", "shared").await?.context("no copy")?;
    ensure!(now.metadata.uid == copy.metadata.uid, "the copy was recreated");
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}

/// Each list of a new leader is held back in turn. Until it arrives, the leader writes nothing;
/// then it writes only what has changed since the last leader.
#[tokio::test]
async fn a_new_leader_writes_only_after_complete_lists() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    let old = Replica::start(&cluster.control_plane, OPERATOR, &Options::default()).await?;
    old.wait_ready().await?;
    fixture.create_synced_copy(&[("a", "0")]).await?;
    let options = Options { server: Some(proxy.url()), ..Options::default() };
    let new = Replica::start(&cluster.control_plane, "new", &options).await?;
    cluster.replicas.extend([old, new]);

    for (resource, value) in [("configmapsyncs", "1"), ("configmaps", "2"), ("namespaces", "3")] {
        cluster.replicas[1].wait_ready().await?;
        let hold = Hold::new();
        let is_list = move |it: &Request| it.resource() == resource && it.namespace().is_empty();
        proxy.clear();
        proxy.add(Rule::new(Fault::HoldAfter(hold.clone())).when(is_list));
        let start = proxy.count();
        cluster.replicas[0].terminate_and_wait().await?;
        let list = hold.reached(SOON).await?;
        let is_old = list.query.contains("resourceVersion=0");
        ensure!(!is_old, "a list from a cache: {list}?{}", list.query);
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        let writes = || {
            let is_write = |it: &Request| {
                it.is_mutating() && ["configmaps", "configmapsyncs"].contains(&it.resource())
            };
            let writes = proxy.requests_where(start, is_write);
            // The fence is probed by dry runs.
            writes.into_iter().filter(|it| !it.query.contains("dryRun")).collect::<Vec<_>>()
        };
        stays(format!("nothing is written without the list of {resource}"), HELD, || async {
            Ok(Seen::from_bool(writes().is_empty(), || format!("{:?}", writes())))
        })
        .await?;
        hold.release();
        fixture.wait_data("app", "shared", &[("a", value)], propagation()).await?;
        let source = fixture.config_map("central", "shared").await?.context("no source")?;
        fixture.wait_source_version("central", "sync", &source, SOON).await?;
        let written = writes();
        let copies = written.iter().filter(|it| it.resource() == "configmaps").count();
        ensure!(copies == 1, "more than the edited source was copied: {written:?}");

        // The old replica leads again.
        cluster.replicas[1].terminate_and_wait().await?;
        cluster.replicas[0].restart()?;
        cluster.replicas[0].wait_ready().await?;
        ensure!(cluster.wait_leader().await? == 0);
        cluster.replicas[1].restart()?;
    }
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}
