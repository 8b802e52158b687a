//! Measures the rate of the raw writer, with which the operator is compared.

use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use serde::Serialize;

use crate::bench_cluster::BenchCluster;
use crate::measurement::per_second;
use crate::raw_writer::Writer;
use crate::raw_writer::in_flight;
use crate::write_requests::Data;
use crate::write_requests::Written;
use crate::write_requests::four_kibibytes;

/// The rate of the raw writer, in writes per second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RawWriteRate {
    /// The number of requests in flight.
    pub in_flight: u32,
    /// Copies created.
    pub creates: f64,
    /// Copies updated by a JSON patch.
    pub patches: f64,
    /// Copies deleted, with preconditions.
    pub deletes: f64,
}

/// Measures the raw writer on `count` copies of 4 KiB, one per namespace, and deletes them. Stops the
/// operator first: its watches would slow down the API server.
pub async fn measure(
    cluster: &mut BenchCluster,
    requests_in_flight: u32,
    count: u32,
) -> Result<RawWriteRate> {
    cluster.create_namespaces(count).await?;
    let name = format!("limit-{requests_in_flight}");
    let copies = (0..count).map(|index| NamespacedName::new(BenchCluster::namespace(index), &name));
    let contents = [four_kibibytes(1), four_kibibytes(2)];
    measure_with(cluster, requests_in_flight, copies.collect(), contents).await
}

/// As [`measure`], on `copies` that are created with the first content and updated to the second.
pub async fn measure_with(
    cluster: &mut BenchCluster,
    requests_in_flight: u32,
    copies: Vec<NamespacedName>,
    [first, second]: [Data; 2],
) -> Result<RawWriteRate> {
    cluster.stop_operator().await?;
    let writer = Writer::as_leader(&cluster.control_plane).await?;
    let limit = usize::try_from(requests_in_flight)?;
    let count = u32::try_from(copies.len())?;

    let start = Instant::now();
    let writing = in_flight(limit, copies, async |at| {
        let written = writer.create(&at, &first).await.with_context(|| format!("creating {at}"))?;
        anyhow::Ok((at, written))
    });
    let first_versions: Vec<(NamespacedName, Written)> = writing.await?;
    let creates = per_second(count, start.elapsed());

    let start = Instant::now();
    let writing = in_flight(limit, first_versions, async |(at, seen)| {
        let written =
            writer.patch(&at, &seen, &second).await.with_context(|| format!("patching {at}"))?;
        anyhow::Ok((at, written))
    });
    let second_versions: Vec<(NamespacedName, Written)> = writing.await?;
    let patches = per_second(count, start.elapsed());

    let start = Instant::now();
    in_flight(limit, second_versions, async |(at, seen)| {
        writer.delete(&at, &seen).await.with_context(|| format!("deleting {at}"))
    })
    .await?;
    let deletes = per_second(count, start.elapsed());
    Ok(RawWriteRate { in_flight: requests_in_flight, creates, patches, deletes })
}
