//! One source in many namespaces: creation, update, an edit without effect, repair, deletion.

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use harness::audit_queries::requests_by_operator;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::measurement::median;
use crate::raw_write_rate;
use crate::raw_write_rate::RawWriteRate;
use crate::raw_writer::in_flight;
use crate::request_counts::RequestCounts;
use crate::results::Relation;
use crate::results::Results;
use crate::sources::hash;
use crate::write_requests::four_kibibytes;

const NAME: &str = "shared";
/// The operator's default number of requests in flight.
pub(super) const IN_FLIGHT: u32 = 32;
/// The lower bound of the operator's rate of creates and updates, as a ratio to the raw writer's.
const WRITE_RATIO: f64 = 0.95;
/// The same for deletions.
const DELETE_RATIO: f64 = 0.7;

/// The measurements of one repetition.
struct Repetition {
    raw_rate: RawWriteRate,
    fan_out: Measurement,
    update: Measurement,
    no_op: Measurement,
    repair: Measurement,
    delete: Measurement,
}

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.create_namespaces(count).await?;
    cluster.create_source(NAME).await?;
    let screen = cluster.screen.clone();
    let mut rounds = Vec::new();
    for number in 1..=cluster.options.rounds {
        let work = async {
            let repetition = repeat(cluster, count).await?;
            let summary = summary(&repetition);
            Ok(Done::new(repetition, summary))
        };
        rounds.push(screen.step(&format!("copies, repetition {number}"), work).await?);
    }
    cluster.delete_source(NAME).await?;
    report(results, count, &rounds);
    Ok(())
}

async fn repeat(cluster: &mut BenchCluster, count: u32) -> Result<Repetition> {
    let mark = cluster.audit().mark().await?;
    let raw_rate = raw_write_rate::measure(cluster, IN_FLIGHT, count).await?;
    let raw = cluster.audit().since(mark).await?;
    // The operator was stopped: all requests of its account are the raw writer's.
    let raw = RequestCounts::of(requests_by_operator(&raw).filter(|event| !event.is_dry_run()));
    cluster.start_operator().await?;

    let (synced, observation) = cluster
        .observe(async {
            let spec = BenchCluster::fan_out(NAME, "base");
            cluster.fixture().create_sync(CENTRAL, NAME, spec).await?;
            cluster.wait_synced(NAME, None).await
        })
        .await?;
    let start = observation.user_response_time("create", "configmapsyncs", NAME);
    let wall = between(start, observation.last_response_time("create", "configmaps"));
    let fan_out = observation.measured().took(count, wall).against(raw_rate.creates);
    same_length(&raw, &fan_out.calls, "create")?;

    let (_, observation) = cluster
        .observe(async {
            let data = json!({"data": four_kibibytes(1)});
            cluster.fixture().patch_config_map(CENTRAL, NAME, &data).await?;
            cluster.wait_synced(NAME, hash(&synced).as_deref()).await
        })
        .await?;
    let start = observation.user_response_time("patch", "configmaps", NAME);
    let wall = between(start, observation.last_response_time("patch", "configmaps"));
    let update = observation.measured().took(count, wall).against(raw_rate.patches);
    same_length(&raw, &update.calls, "patch")?;

    let label = json!({"metadata": {"labels": {"edited": start.unwrap_or_default().as_second().to_string()}}});
    let edit = async { cluster.fixture().patch_config_map(CENTRAL, NAME, &label).await };
    let no_op = cluster.observe(edit).await?.1.measured();

    let repair = repair(cluster, count).await?;

    let ((), observation) = cluster.observe(cluster.delete_sync(NAME)).await?;
    let start = observation.user_response_time("delete", "configmapsyncs", NAME);
    let wall = between(start, observation.last_response_time("delete", "configmaps"));
    let delete = observation.measured().took(count, wall).against(raw_rate.deletes);

    let back = json!({"data": four_kibibytes(0)});
    cluster.fixture().patch_config_map(CENTRAL, NAME, &back).await?;
    Ok(Repetition { raw_rate, fan_out, update, no_op, repair, delete })
}

/// A user deletes all copies, concurrently with their repair.
async fn repair(cluster: &BenchCluster, count: u32) -> Result<Measurement> {
    let client = cluster.control_plane.client();
    let creates = "configmapsync_writes_total{action=\"create\",result=\"success\"";
    let before = cluster.operator()?.metric(creates).await?;
    let work = async {
        let limit = usize::try_from(IN_FLIGHT)?;
        in_flight(limit, 0..count, async |index| {
            let at = NamespacedName::new(BenchCluster::namespace(index), NAME);
            let api = Api::<ConfigMap>::namespaced(client.clone(), &at.namespace);
            let deleted = api.delete(NAME, &DeleteParams::default()).await;
            deleted.with_context(|| format!("deleting {at}"))
        })
        .await?;
        cluster.operator()?.wait_metric(creates, before + f64::from(count), LONG).await
    };
    let ((), observation) = cluster.observe(work).await?;
    let start = observation.user_response_time("delete", "configmaps", NAME);
    let wall = between(start, observation.last_response_time("create", "configmaps"));
    Ok(observation.measured().took(count, wall))
}

/// Ensures that the bodies of the raw writer's and the operator's requests have the same length, within
/// 3 %: otherwise the rates are not comparable.
fn same_length(raw: &RequestCounts, operator: &RequestCounts, verb: &str) -> Result<()> {
    let lengths = raw.sent_per(verb, "configmaps").zip(operator.sent_per(verb, "configmaps"));
    let (raw, operator) =
        lengths.with_context(|| format!("the audit log contains no {verb} of a ConfigMap"))?;
    anyhow::ensure!(
        (0.97..1.03).contains(&(raw / operator)),
        "the body of a {verb} has {raw:.0} bytes from the raw writer, but {operator:.0} from the \
         operator: adapt write_requests.rs"
    );
    Ok(())
}

fn summary(repetition: &Repetition) -> String {
    let ratio = |measured: &Measurement| measured.raw_ratio.unwrap_or_default();
    format!(
        "ratio to the raw writer: fan-out {:.2}, update {:.2}, deletion {:.2}",
        ratio(&repetition.fan_out),
        ratio(&repetition.update),
        ratio(&repetition.delete)
    )
}

fn report(results: &mut Results, count: u32, rounds: &[Repetition]) {
    results.raw_write_rates.extend(rounds.iter().map(|round| round.raw_rate));
    let all = |pick: fn(&Repetition) -> &Measurement| {
        rounds.iter().map(pick).cloned().collect::<Vec<_>>()
    };
    let (fan_out, update) = (all(|it| &it.fan_out), all(|it| &it.update));
    let (no_op, repair, delete) = (all(|it| &it.no_op), all(|it| &it.repair), all(|it| &it.delete));

    let n = f64::from(count);
    for (what, rounds, verb) in [("fan-out", &fan_out, "create"), ("update", &update, "patch")] {
        let most = |number: fn(&RequestCounts) -> u32| most(rounds, number);
        let writes = rounds.iter().map(|it| f64::from(it.calls.count(verb, "configmaps")));
        let different = writes.clone().find(|writes| (writes - n).abs() > 0.0);
        results.bound(
            format!("{what}: copies written"),
            different.or(Some(n)),
            Relation::Exactly,
            n,
        );
        let gets = most(|calls| calls.count("get", "configmaps"));
        results.bound(format!("{what}: gets of the source"), gets, Relation::AtMost, 1.0);
        let statuses = most(|calls| calls.count("patch", "configmapsyncs/status"));
        results.bound(format!("{what}: status writes"), statuses, Relation::AtMost, 3.0);
        let lists = most(|calls| calls.verb("list"));
        results.bound(format!("{what}: lists"), lists, Relation::AtMost, 0.0);
    }
    let gets = most(&no_op, |calls| calls.count("get", "configmaps"));
    results.bound("edit without effect: gets", gets, Relation::AtMost, 1.0);
    let writes = most(&no_op, RequestCounts::writes);
    results.bound("edit without effect: writes", writes, Relation::AtMost, 0.0);

    for (what, rounds, raw_ratio) in [
        (format!("fan-out to {count}"), fan_out, Some(WRITE_RATIO)),
        (format!("update of {count}"), update, Some(WRITE_RATIO)),
        ("edit of the source without effect".to_owned(), no_op, None),
        (format!("{count} copies deleted by a user, repaired"), repair, None),
        (format!("ConfigMapSync with {count} copies deleted"), delete, Some(DELETE_RATIO)),
    ] {
        if let Some(limit) = raw_ratio {
            let measured = median(rounds.iter().filter_map(|it| it.raw_ratio));
            let bound = format!("{what}: ratio to the raw writer");
            results.bound(bound, measured, Relation::AtLeast, limit);
        }
        results.rows(what, rounds);
    }
}

fn most(rounds: &[Measurement], number: fn(&RequestCounts) -> u32) -> Option<f64> {
    rounds.iter().map(|it| number(&it.calls)).max().map(f64::from)
}
