//! Copies of ConfigMaps of the largest size.

use anyhow::Context;
use anyhow::Result;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::wait::Seen;

use crate::bounded_memory::growth::Growth;
use crate::bounded_memory::growth::ensure_bounded;
use crate::bounded_memory::growth::listed;
use crate::bounded_memory::objects::create_config_maps;
use crate::bounded_memory::objects::large_name;
use crate::bounded_memory::objects::long_value;
use crate::bounded_memory::objects::many_keys;
use crate::support::conditions::reason;
use crate::support::process::peak_kib;
use crate::support::process::reset_peak;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

/// Waits until all copies are in order at this generation of their ConfigMapSyncs.
async fn wait_all_synced(fixture: &Fixture, count: usize, generation: i64) -> Result<()> {
    wait_syncs(fixture, "tenant", "all copies are in order", listed(), |syncs| {
        let synced = syncs.values().filter(|sync| {
            let observed = sync.status.as_ref().and_then(|status| status.observed_generation);
            reason(sync) == "Synced" && observed == Some(generation)
        });
        let synced = synced.count();
        Seen::from_bool(synced == count, || format!("{synced} of {count}"))
    })
    .await
}

#[tokio::test]
async fn large_config_maps_are_copied_with_little_memory() -> Result<()> {
    let (count, data) = quick_or_full((20, long_value()), (100, many_keys()));
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["tenant", "copies"]).await?;
    let process = cluster.replicas.first().context("no replica")?.process();
    let before = resident_kib(process)?;
    reset_peak(process)?;
    create_config_maps(&fixture, "tenant", count, &data, |_| json!({})).await?;
    let copied: Vec<_> = (0..count).map(large_name).collect();
    for name in &copied {
        fixture.create_sync("tenant", name, one_to_one("tenant", name, "copies")).await?;
    }
    wait_all_synced(&fixture, copied.len(), 1).await?;
    let created = peak_kib(process)?;

    // Each copy is compared, and written again.
    reset_peak(process)?;
    let edit = json!({"data": {"key-00000": "edited"}});
    for name in &copied {
        fixture.patch_config_map("tenant", name, &edit).await?;
    }
    for name in &copied {
        fixture
            .wait_config_map("copies", name, "it has the edited value", listed(), |copy| {
                copy.data.as_ref().is_some_and(|data| data["key-00000"] == "edited")
            })
            .await?;
    }
    let edited = peak_kib(process)?;
    ensure_bounded(&[
        Growth { what: "created", without: before, with: created },
        Growth { what: "edited", without: before, with: edited },
    ])
}
