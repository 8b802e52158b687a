//! How fast the raw writer is: what the operator is compared with.

use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use serde::Serialize;

use crate::bench_cluster::BenchCluster;
use crate::bodies::Written;
use crate::bodies::four_kibibytes;
use crate::measured::per_second;
use crate::writer::Writer;
use crate::writer::in_flight;

/// What the raw writer does in a second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Limit {
    /// How many requests it has in flight.
    pub in_flight: u32,
    /// Copies created.
    pub creates: f64,
    /// Copies changed by a JSON patch.
    pub patches: f64,
    /// Copies deleted, with preconditions.
    pub deletes: f64,
}

/// Measures the raw writer on `count` copies, one in each namespace; afterwards they are gone. The
/// operator is stopped for it: its watch would cost the API server, too.
pub async fn measure(
    cluster: &mut BenchCluster,
    in_flight_at_a_time: u32,
    count: u32,
) -> Result<Limit> {
    cluster.stop_operator().await?;
    cluster.make_namespaces(count).await?;
    let writer = Writer::announced(&cluster.control_plane).await?;
    let limit = usize::try_from(in_flight_at_a_time)?;
    let name = format!("limit-{in_flight_at_a_time}");
    let places = (0..count).map(|index| NamespacedName::new(BenchCluster::namespace(index), &name));

    let (first, second) = (four_kibibytes(1), four_kibibytes(2));
    let began = Instant::now();
    let writing = in_flight(limit, places, async |at| {
        let written = writer.create(&at, &first).await.with_context(|| format!("creating {at}"))?;
        anyhow::Ok((at, written))
    });
    let first_seen: Vec<(NamespacedName, Written)> = writing.await?;
    let creates = per_second(count, began.elapsed());

    let began = Instant::now();
    let writing = in_flight(limit, first_seen, async |(at, seen)| {
        let written =
            writer.patch(&at, &seen, &second).await.with_context(|| format!("patching {at}"))?;
        anyhow::Ok((at, written))
    });
    let then_seen: Vec<(NamespacedName, Written)> = writing.await?;
    let patches = per_second(count, began.elapsed());

    let began = Instant::now();
    in_flight(limit, then_seen, async |(at, seen)| {
        writer.delete(&at, &seen).await.with_context(|| format!("deleting {at}"))
    })
    .await?;
    let deletes = per_second(count, began.elapsed());
    Ok(Limit { in_flight: in_flight_at_a_time, creates, patches, deletes })
}
