//! Many ConfigMapSyncs: a failover writes nothing if all are in sync, a new one does not wait for the
//! others, and a tenant who edits many continuously delays neither other tenants nor the renewals of
//! the Lease.
//!
//! `E2E_FULL=1` creates 10,000 ConfigMapSyncs instead of 50.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::audit_queries::writes_by_operator;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use http::Method;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::conditions::reason;
use crate::support::metrics_page::Metrics;
use crate::support::scale::propagation;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

const CONCURRENCY: usize = 32;
/// The tenant's edits in flight.
const EDITS: usize = 16;
/// How long the tenant edits.
const EDITED: Duration = Duration::from_secs(20);
/// Pause between two edits of the other tenant.
const BETWEEN: Duration = Duration::from_millis(250);
/// Below the renew deadline of 10 seconds. Renewals are due every 2 seconds.
const RENEWED: Duration = Duration::from_secs(7);

/// The ConfigMapSyncs of the tenant. Few enough that one reconcile of each takes seconds on a machine
/// under load: the queue is fair, so no other ConfigMapSync waits longer.
fn count() -> usize {
    quick_or_full(50, 10_000)
}

fn name(number: usize) -> String {
    format!("copy-{number}")
}

fn spec(number: usize) -> ConfigMapSyncSpec {
    let spec = one_to_one("tenant", "shared", "tenant-copies");
    ConfigMapSyncSpec { destination_name: Some(name(number)), ..spec }
}

/// Creates the ConfigMapSyncs of one tenant and one of another, and waits until all are `Synced`.
async fn create_all(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["tenant", "tenant-copies", "central", "app"]).await?;
    fixture.create_config_map("tenant", "shared", &[("a", "1"), ("b", "1")]).await?;
    stream::iter(0..count())
        .map(async |number| fixture.create_sync("tenant", &name(number), spec(number)).await)
        .buffer_unordered(CONCURRENCY)
        .try_for_each(async |_| Ok(()))
        .await?;
    wait_all_synced(fixture).await?;
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

async fn wait_all_synced(fixture: &Fixture) -> Result<()> {
    let deadline = SOON + Duration::from_millis(100) * u32::try_from(count())?;
    let check = |found: &BTreeMap<String, ConfigMapSync>| {
        let is_synced = |sync: &&ConfigMapSync| {
            let observed = sync.status.as_ref().and_then(|status| status.observed_generation);
            reason(sync) == "Synced" && observed == sync.metadata.generation
        };
        let synced = found.values().filter(is_synced).count();
        Seen::from_bool(synced == count(), || format!("{synced} of {}", count()))
    };
    wait_syncs(fixture, "tenant", "all ConfigMapSyncs are Synced", deadline, check).await
}

/// The next leader verifies all ConfigMapSyncs, once at its start, and again every ten seconds.
#[tokio::test]
async fn a_failover_in_sync_writes_nothing_but_new_copies() -> Result<()> {
    let arguments = vec!["--resync-period=10s".to_owned()];
    let options = Options { arguments, ..Options::default() };
    let mut cluster = OperatorCluster::start_with(2, options).await?;
    let fixture = cluster.fixture();
    create_all(&fixture).await?;
    fixture.create_namespaces(&["late"]).await?;
    let mark = cluster.audit().mark().await?;
    cluster.take_leader().await?.process().kill()?;
    cluster.wait_leader().await?;
    let began = Instant::now();
    fixture.create_sync("late", "sync", one_to_one("central", "shared", "late")).await?;
    fixture.wait_reason("late", "sync", "Synced", propagation()).await?;
    eprintln!("the new ConfigMapSync was Synced after {:.1?}", began.elapsed());
    let replica = cluster.replicas.first().context("no replica")?;
    let all = f64::from(u32::try_from(count())?) * 2.0;
    until("every ConfigMapSync was reconciled and verified", 2 * SOON, || async {
        let ended = Metrics::of(replica).await?.reconciles("success")?;
        Ok(Seen::from_bool(ended >= all, || format!("{ended} reconciles")))
    })
    .await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.namespace() != "late");
    ensure!(writes.is_empty(), "{} writes:\n{}", writes.len(), lines(&writes));
    Ok(())
}

/// Edits the ConfigMapSyncs of the tenant, as fast as possible, for a period. Returns the number of
/// edits.
async fn edit_all(fixture: &Fixture, period: Duration) -> Result<usize> {
    let (began, mut edits) = (Instant::now(), 0);
    for round in 0.. {
        let keys = if round % 2 == 0 { json!(["a"]) } else { json!(["a", "b"]) };
        let edit = json!({"spec": {"keys": keys}});
        let editing = stream::iter(0..count())
            .take_while(|_| std::future::ready(began.elapsed() < period))
            .map(async |number| fixture.patch_sync("tenant", &name(number), &edit).await);
        let mut editing = std::pin::pin!(editing.buffer_unordered(EDITS));
        while editing.try_next().await?.is_some() {
            edits += 1;
        }
        if began.elapsed() >= period {
            break;
        }
    }
    Ok(edits)
}

/// Edits the source of the other tenant, for a period. Returns how long each edit took to reach the
/// copy, sorted.
async fn propagation_times(fixture: &Fixture, period: Duration) -> Result<Vec<Duration>> {
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < period {
        let (value, began) = (format!("{}", start.elapsed().as_micros()), Instant::now());
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        fixture.wait_data("app", "shared", &[("a", &value)], SOON).await?;
        times.push(began.elapsed());
        tokio::time::sleep(BETWEEN).await;
    }
    times.sort();
    Ok(times)
}

/// The longest time between two renewals of the Lease.
fn longest_renewal(proxy: &FaultProxy, start: usize) -> Result<Duration> {
    let is_renewal = |it: &Request| it.is_lease() && it.method == Method::PATCH;
    let renewals = proxy.requests_where(start, is_renewal);
    let gaps = renewals.windows(2).map(|pair| pair[1].arrived - pair[0].arrived);
    gaps.max().context("the Lease was not renewed twice")
}

#[tokio::test]
async fn a_busy_tenant_delays_nobody_else() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    create_all(&fixture).await?;
    let alone = propagation_times(&fixture, EDITED / 4).await?;
    let start = proxy.count();
    let (edits, times) =
        tokio::try_join!(edit_all(&fixture, EDITED), propagation_times(&fixture, EDITED))?;
    let renewed = longest_renewal(&proxy, start)?;
    let percentile = |times: &[Duration]| times[times.len() * 99 / 100];
    eprintln!(
        "{edits} edits of {} ConfigMapSyncs in {EDITED:?}; 99 % of {} edits of the other tenant were \
         copied within {:.1?} (alone: {:.1?}); at most {renewed:.1?} between renewals",
        count(),
        times.len(),
        percentile(&times),
        percentile(&alone),
    );
    ensure!(percentile(&times) <= propagation(), "the other tenant waited: {times:.1?}");
    ensure!(renewed <= RENEWED, "a renewal came after {renewed:.1?}");
    cluster.replicas[0].process().expect_running()?;
    // All edits have arrived in the end.
    wait_all_synced(&fixture).await
}
