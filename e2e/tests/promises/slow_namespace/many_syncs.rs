//! Many ConfigMapSyncs whose copies go into one slow namespace delay no other ConfigMapSync, and all
//! of them get their turn.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::scale::quick_or_full;

const SLOW: &str = "slow";
/// ConfigMapSyncs with a copy in the slow namespace.
const SYNCS: usize = 200;
/// ConfigMapSyncs elsewhere, one after the other, while the slow namespace is busy.
fn others() -> usize {
    quick_or_full(5, 100)
}

const DELAY: Duration = Duration::from_secs(10);
/// A new ConfigMapSync elsewhere is Ready within this time.
const READY: Duration = Duration::from_secs(5);
/// At least half of the 32 slots are left to other namespaces.
const MAX_IN_FLIGHT: usize = 16;
/// All copies exist within this time after the namespace has become fast.
const CAUGHT_UP: Duration = Duration::from_mins(1);

/// The number of creates in the slow namespace, and of those without a response.
fn creates(proxy: &FaultProxy) -> (usize, usize) {
    let requests = proxy.requests();
    let creates = requests.iter().filter(|it| it.method == Method::POST && it.namespace() == SLOW);
    let (all, open): (Vec<_>, Vec<_>) =
        (creates.clone().collect(), creates.filter(|it| it.status.is_none()).collect());
    (all.len(), open.len())
}

async fn create_many(fixture: &Fixture) -> Result<()> {
    let creating = stream::iter(0..SYNCS).map(|number| async move {
        let name = format!("slow-{number}");
        let spec = ConfigMapSyncSpec {
            destination_name: Some(name.clone()),
            ..one_to_one("central", "shared", SLOW)
        };
        fixture.create_sync("central", &name, spec).await
    });
    creating.buffer_unordered(16).try_collect::<Vec<_>>().await?;
    Ok(())
}

/// Waits until each ConfigMapSync had its first turn: those of one namespace have theirs in order.
async fn wait_first_turns(fixture: &Fixture) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    until("each ConfigMapSync is reported", SOON, || async {
        let statuses = syncs.list(&ListParams::default()).await?.items;
        let statuses = statuses.iter().filter_map(|sync| sync.status.as_ref());
        let reported = statuses.filter(|status| !status.conditions.is_empty()).count();
        Ok(Seen::from_bool(reported == SYNCS, || reported.to_string()))
    })
    .await
}

async fn copies(fixture: &Fixture) -> Result<usize> {
    let maps = Api::<ConfigMap>::namespaced(fixture.client(), SLOW);
    let copies = ListParams::default().labels("apps.nishaf.info/configmapsync-uid");
    Ok(maps.list_metadata(&copies).await?.items.len())
}

#[tokio::test]
async fn many_syncs_into_a_slow_namespace_delay_no_other() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", SLOW]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let rule = Rule::new(Fault::Delay(DELAY)).method(Method::POST).resource("configmaps");
    proxy.add(rule.when(|request| request.namespace() == SLOW).always());
    create_many(&fixture).await?;
    until("creates are delayed", SOON, || async {
        let (all, open) = creates(&proxy);
        Ok(Seen::from_bool(open > 1, || format!("{open} of {all}")))
    })
    .await?;
    wait_first_turns(&fixture).await?;
    let mut waits = Vec::new();
    for number in 0..others() {
        let name = format!("other-{number}");
        fixture.create_namespaces(&[&name]).await?;
        let begin = Instant::now();
        fixture.create_sync("central", &name, one_to_one("central", "shared", &name)).await?;
        fixture.wait_reason("central", &name, "Synced", READY).await?;
        let (all, open) = creates(&proxy);
        waits.push(begin.elapsed());
        eprintln!("{name} after {:?}; {open} of {all} creates in flight", begin.elapsed());
        ensure!(open > 0, "the slow namespace was not busy");
        // The proxy may record a response after the operator has received it.
        until(format!("at most {MAX_IN_FLIGHT} creates are in flight"), READY, || async {
            let (_, open) = creates(&proxy);
            Ok(Seen::from_bool(open <= MAX_IN_FLIGHT, || open.to_string()))
        })
        .await?;
    }
    waits.sort();
    eprintln!(
        "slowest of {}: {:?}, median {:?}",
        waits.len(),
        waits.last(),
        waits[waits.len() / 2]
    );
    // A ConfigMapSync that waits for its turn can be deleted at once.
    let last = format!("slow-{}", SYNCS - 1);
    ensure!(fixture.config_map(SLOW, &last).await?.is_none(), "{last} has its copy already");
    fixture.delete_sync("central", &last).await?;
    fixture.wait_no_sync("central", &last, READY).await?;

    proxy.clear();
    until("all copies exist in the slow namespace", CAUGHT_UP, || async {
        let copies = copies(&fixture).await?;
        Ok(Seen::from_bool(copies == SYNCS - 1, || copies.to_string()))
    })
    .await?;
    for number in 0..SYNCS - 1 {
        fixture.wait_reason("central", &format!("slow-{number}"), "Synced", SOON).await?;
    }
    Ok(())
}
