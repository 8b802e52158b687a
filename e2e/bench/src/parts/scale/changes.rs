//! What happens to existing copies: edits of the sources, a change of the leader, orphan collection.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testbed::audit::Event;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::PREPARING;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::parts::scale::idle;
use crate::parts::scale::starts::CPU_PER_COPY;
use crate::parts::scale::workload::COPIES;
use crate::parts::scale::workload::UPDATES;
use crate::parts::scale::workload::Workload;
use crate::parts::scale::workload::settled;
use crate::parts::scale::workload::wait_count;
use crate::parts::scale::workload::with_cpu_per_copy;
use crate::process_usage::Usage;
use crate::raw_writer::in_flight;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests::one_kibibyte;

/// `ConfigMapSync`s that are deleted at a time.
const DELETING: usize = 8;
/// At most this many `ConfigMapSync`s lose their finalizers: the operator adds them again, so that it takes
/// time to be faster.
const ORPHANED: usize = 100;
const SOON: Duration = Duration::from_mins(1);

pub(super) async fn measure(
    cluster: &mut BenchCluster,
    results: &mut Results,
    workload: &Workload,
) -> Result<()> {
    cluster.start_operator().await?;
    edit_all(cluster, results, workload).await?;
    take_over(cluster, results, workload).await?;
    let orphaned = workload.names.len().min(ORPHANED);
    let (orphaned, others) = workload.names.split_at(orphaned);
    let orphaned = Workload { names: orphaned.to_vec(), ..workload.clone() };
    collect_orphans(cluster, results, &orphaned).await?;
    in_flight(PREPARING, &workload.names, async |name| cluster.delete_source(name).await).await?;
    let others = Workload { names: others.to_vec(), ..workload.clone() };
    delete_syncs(cluster, results, &others).await
}

/// Edits each source once.
async fn edit_all(
    cluster: &BenchCluster,
    results: &mut Results,
    workload: &Workload,
) -> Result<()> {
    let (copies, what) = (workload.copies(), &workload.what);
    let work = async {
        let all = cluster.operator()?.metric(UPDATES).await? + f64::from(copies);
        let work = async {
            let start = Instant::now();
            in_flight(PREPARING, &workload.names, async |name| edit(cluster, name, 1).await)
                .await?;
            wait_count(cluster, UPDATES, workload.deadline(), |seen| seen >= all).await?;
            Ok(start.elapsed())
        };
        observed(cluster, copies, work).await
    };
    let measured = cluster.screen.step(&format!("{what}, each source edited"), work).await?;
    let updates = measured.calls.count("patch", "configmaps");
    let counted = format!("{what}, each source edited: updates of copies");
    results.bound_at_any_size(counted, updates, Relation::Exactly, copies);
    // With one copy, the read of the source and the write of the status are the greater part.
    if workload.copies_of_each > 1 {
        let cpu = measured.more.get("CPU per copy, ms").copied();
        let per_copy = format!("{what}, each source edited: CPU per copy, ms");
        results.bound(per_copy, cpu, Relation::AtMost, CPU_PER_COPY);
    }
    results.row(format!("{what}, each source edited"), measured);
    Ok(())
}

/// Observes the cluster during `work`, in which so many `copies` are written, and which returns how long
/// that took.
async fn observed(
    cluster: &BenchCluster,
    copies: u32,
    work: impl Future<Output = Result<Duration>>,
) -> Result<Done<Measurement>> {
    let (took, observation) = cluster.observe(work).await?;
    let Usage { rss, peak, .. } = settled(cluster.operator()?).await?;
    let measured = Measurement { rss, peak, ..observation.measured().took(copies, took) };
    let summary = format!("{:.0} copies/s, peak {peak:.1} MiB", measured.per_second);
    Ok(Done::new(with_cpu_per_copy(measured, copies), summary))
}

async fn edit(cluster: &BenchCluster, name: &str, number: u32) -> Result<()> {
    let data = json!({"data": one_kibibyte(number)});
    cluster.fixture().patch_config_map(CENTRAL, name, &data).await?;
    Ok(())
}

/// What was measured while another process took over.
struct Takeover {
    /// The resource use of the standby before.
    standby: Usage,
    /// Its resource use as the leader.
    leader: Usage,
    /// Seconds from SIGTERM of the leader to the response to the next leader's first write of a copy.
    gap: f64,
    /// How many copies the next leader wrote.
    writes: u32,
}

/// Stops the leader while a standby waits, and edits one source.
async fn take_over(
    cluster: &mut BenchCluster,
    results: &mut Results,
    workload: &Workload,
) -> Result<()> {
    let (screen, what) = (cluster.screen.clone(), &workload.what);
    let work = async {
        let takeover = taken_over(cluster, workload).await?;
        let Takeover { gap, standby, .. } = &takeover;
        let summary = format!("first write after {gap:.2} s, standby {:.1} MiB", standby.rss);
        Ok(Done::new(takeover, summary))
    };
    let takeover = screen.step(&format!("{what}, another leader"), work).await?;
    let counted = format!("{what}, another leader: writes of copies");
    let written = workload.copies_of_each;
    results.bound_at_any_size(counted, takeover.writes, Relation::Exactly, written);
    let mut measured = idle::measured(takeover.leader);
    measured.more.extend([
        ("from SIGTERM to the first write of a copy, s".to_owned(), takeover.gap),
        ("standby, MiB".to_owned(), takeover.standby.rss),
    ]);
    results.row(format!("{what}, another leader"), measured);
    Ok(())
}

async fn taken_over(cluster: &mut BenchCluster, workload: &Workload) -> Result<Takeover> {
    let edited = workload.names.first().context("there is no source")?;
    let next = cluster.launch_operator().await?;
    next.wait_ready(SOON).await?;
    let standby = settled(&next).await?;
    let (mark, pod_uid) = (cluster.audit().mark().await?, next.pod_uid().to_owned());
    let leader = cluster.replace_operator(next).context("the operator is not running")?;
    let stopped = Timestamp::now();
    tokio::try_join!(leader.stop(), edit(cluster, edited, 2))?;
    let operator = cluster.operator()?;
    operator.wait_leading().await?;
    operator.wait_ready(workload.deadline()).await?;
    let edited = f64::from(workload.copies_of_each);
    wait_count(cluster, UPDATES, workload.deadline(), |updates| updates >= edited).await?;
    cluster.wait_idle().await?;
    let events = cluster.audit().since(mark).await?;
    let is_write = |event: &&Event| {
        event.pod_uid() == pod_uid && event.is_write() && event.resource() == "configmaps"
    };
    let writes: Vec<_> = events.iter().filter(is_write).collect();
    let first = writes.iter().map(|event| event.stage_timestamp.0).min();
    Ok(Takeover {
        standby,
        leader: settled(cluster.operator()?).await?,
        gap: between(Some(stopped), first).as_secs_f64(),
        writes: u32::try_from(writes.len())?,
    })
}

/// Deletes the `ConfigMapSync`s in such a way that the operator does not clean up: orphan collection
/// deletes the copies.
async fn collect_orphans(
    cluster: &BenchCluster,
    results: &mut Results,
    workload: &Workload,
) -> Result<()> {
    let what = format!("{}, {} orphaned", workload.what, workload.copies());
    let fixture = cluster.fixture();
    let delete = async |name: &String| fixture.delete_sync_without_finalizers(CENTRAL, name).await;
    deleted(cluster, results, workload, &what, delete).await
}

/// Deletes the `ConfigMapSync`s, if there are any: the operator cleans up.
async fn delete_syncs(
    cluster: &BenchCluster,
    results: &mut Results,
    workload: &Workload,
) -> Result<()> {
    if workload.names.is_empty() {
        return Ok(());
    }
    let what = format!("{}, {} deleted", workload.what, workload.syncs());
    let fixture = cluster.fixture();
    let delete = async |name: &String| fixture.delete_sync(CENTRAL, name).await;
    deleted(cluster, results, workload, &what, delete).await
}

/// Calls `delete` for each `ConfigMapSync`, and waits until the operator has deleted the copies.
async fn deleted<'a, Deleting: Future<Output = Result<()>>>(
    cluster: &BenchCluster,
    results: &mut Results,
    workload: &'a Workload,
    what: &str,
    delete: impl Fn(&'a String) -> Deleting,
) -> Result<()> {
    let copies = workload.copies();
    let work = async {
        let left = cluster.operator()?.metric(COPIES).await? - f64::from(copies);
        let work = async {
            let start = Instant::now();
            in_flight(DELETING, &workload.names, &delete).await?;
            let deadline = workload.deadline() * 2;
            wait_count(cluster, COPIES, deadline, |copies| copies <= left).await?;
            Ok(start.elapsed())
        };
        observed(cluster, copies, work).await
    };
    let measured = cluster.screen.step(what, work).await?;
    let deletes = measured.calls.count("delete", "configmaps");
    let counted = format!("{what}: deletes of copies");
    results.bound_at_any_size(counted, deletes, Relation::Exactly, copies);
    results.row(what, measured);
    Ok(())
}
