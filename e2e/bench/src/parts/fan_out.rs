//! One source in many namespaces: created, updated, edited to no effect, repaired, deleted.

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
use crate::bodies::four_kibibytes;
use crate::calls::Calls;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::between;
use crate::sources::hash;
use crate::write_limit;
use crate::write_limit::Limit;
use crate::writer::in_flight;

const NAME: &str = "shared";
/// As many as the operator has in flight by default.
const IN_FLIGHT: u32 = 32;
/// What promises ask for.
const OF_LIMIT: f64 = 0.7;

/// What one round has measured.
struct Round {
    limit: Limit,
    fan_out: Measured,
    update: Measured,
    no_op: Measured,
    repair: Measured,
    delete: Measured,
}

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.make_namespaces(count).await?;
    cluster.make_source(NAME).await?;
    let screen = cluster.screen.clone();
    let mut rounds = Vec::new();
    for number in 1..=cluster.options.rounds {
        let work = async {
            let round = round(cluster, count).await?;
            let told = told(&round);
            Ok(Done::new(round, told))
        };
        rounds.push(screen.step(&format!("copies, round {number}"), work).await?);
    }
    cluster.delete_source(NAME).await?;
    tell(ledger, count, &rounds);
    Ok(())
}

async fn round(cluster: &mut BenchCluster, count: u32) -> Result<Round> {
    let mark = cluster.audit().mark().await?;
    let limit = write_limit::measure(cluster, IN_FLIGHT, count).await?;
    let raw = cluster.audit().since(mark).await?;
    // No operator has run meanwhile.
    let raw = Calls::of(requests_by_operator(&raw).filter(|event| !event.is_dry_run()));
    cluster.start_operator().await?;

    let (synced, stretch) = cluster
        .during(async {
            let spec = BenchCluster::fan_out(NAME, "base");
            cluster.fixture().create_sync(CENTRAL, NAME, spec).await?;
            cluster.wait_synced(NAME, None).await
        })
        .await?;
    let began = stretch.asked("create", "configmapsyncs", NAME);
    let wall = between(began, stretch.last("create", "configmaps"));
    let fan_out = stretch.measured().took(count, wall).against(limit.creates);
    same_length(&raw, &fan_out.calls, "create")?;

    let (_, stretch) = cluster
        .during(async {
            let data = json!({"data": four_kibibytes(1)});
            cluster.fixture().patch_config_map(CENTRAL, NAME, &data).await?;
            cluster.wait_synced(NAME, hash(&synced).as_deref()).await
        })
        .await?;
    let began = stretch.asked("patch", "configmaps", NAME);
    let wall = between(began, stretch.last("patch", "configmaps"));
    let update = stretch.measured().took(count, wall).against(limit.patches);
    same_length(&raw, &update.calls, "patch")?;

    let label = json!({"metadata": {"labels": {"edited": began.unwrap_or_default().as_second().to_string()}}});
    let edit = async { cluster.fixture().patch_config_map(CENTRAL, NAME, &label).await };
    let no_op = cluster.during(edit).await?.1.measured();

    let repair = repair(cluster, count).await?;

    let ((), stretch) = cluster.during(cluster.delete_sync(NAME)).await?;
    let began = stretch.asked("delete", "configmapsyncs", NAME);
    let wall = between(began, stretch.last("delete", "configmaps"));
    let delete = stretch.measured().took(count, wall).against(limit.deletes);

    let back = json!({"data": four_kibibytes(0)});
    cluster.fixture().patch_config_map(CENTRAL, NAME, &back).await?;
    Ok(Round { limit, fan_out, update, no_op, repair, delete })
}

/// All copies are deleted by hand, which competes with their repair.
async fn repair(cluster: &BenchCluster, count: u32) -> Result<Measured> {
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
    let ((), stretch) = cluster.during(work).await?;
    let began = stretch.asked("delete", "configmaps", NAME);
    let wall = between(began, stretch.last("create", "configmaps"));
    Ok(stretch.measured().took(count, wall))
}

/// What is compared must be comparable: the raw writer's requests are as long as the operator's.
fn same_length(raw: &Calls, operator: &Calls, verb: &str) -> Result<()> {
    let lengths = raw.sent_per(verb, "configmaps").zip(operator.sent_per(verb, "configmaps"));
    let (raw, operator) = lengths.with_context(|| format!("no {verb} in the audit log"))?;
    anyhow::ensure!(
        (0.97..1.03).contains(&(raw / operator)),
        "a {verb} of the raw writer has {raw:.0} bytes, one of the operator {operator:.0}: \
         make both alike"
    );
    Ok(())
}

fn told(round: &Round) -> String {
    let ratio = |measured: &Measured| measured.of_limit.unwrap_or_default();
    format!(
        "of the raw writer: fan-out {:.2}, update {:.2}, deletion {:.2}",
        ratio(&round.fan_out),
        ratio(&round.update),
        ratio(&round.delete)
    )
}

fn tell(ledger: &mut Ledger, count: u32, rounds: &[Round]) {
    ledger.limits.extend(rounds.iter().map(|round| round.limit));
    let all = |pick: fn(&Round) -> &Measured| rounds.iter().map(pick).cloned().collect::<Vec<_>>();
    let (fan_out, update) = (all(|it| &it.fan_out), all(|it| &it.update));
    let (no_op, repair, delete) = (all(|it| &it.no_op), all(|it| &it.repair), all(|it| &it.delete));

    let n = f64::from(count);
    for (what, rounds, verb) in [("fan-out", &fan_out, "create"), ("update", &update, "patch")] {
        let most = |number: fn(&Calls) -> u32| most(rounds, number);
        let writes = rounds.iter().map(|it| f64::from(it.calls.count(verb, "configmaps")));
        let unlike = writes.clone().find(|writes| (writes - n).abs() > 0.0);
        ledger.bound(format!("{what}: copies written"), unlike.or(Some(n)), Relation::Exactly, n);
        let gets = most(|calls| calls.count("get", "configmaps"));
        ledger.bound(format!("{what}: reads of the source"), gets, Relation::AtMost, 1.0);
        let statuses = most(|calls| calls.count("patch", "configmapsyncs/status"));
        ledger.bound(format!("{what}: writes of the status"), statuses, Relation::AtMost, 3.0);
        let lists = most(|calls| calls.verb("list"));
        ledger.bound(format!("{what}: lists"), lists, Relation::AtMost, 0.0);
    }
    let gets = most(&no_op, |calls| calls.count("get", "configmaps"));
    ledger.bound("edit to no effect: reads", gets, Relation::AtMost, 1.0);
    let writes = most(&no_op, Calls::writes);
    ledger.bound("edit to no effect: writes", writes, Relation::AtMost, 0.0);

    for (what, rounds) in [
        (format!("fan-out to {count}"), fan_out),
        (format!("update of {count}"), update),
        ("edit of the source to no effect".to_owned(), no_op),
        (format!("{count} copies deleted by hand, repaired"), repair),
        (format!("sync with {count} copies deleted"), delete),
    ] {
        let of_limit = crate::measured::median(rounds.iter().filter_map(|it| it.of_limit));
        if of_limit.is_some() {
            ledger.bound(format!("{what}: of W"), of_limit, Relation::AtLeast, OF_LIMIT);
        }
        ledger.rows(what, rounds);
    }
}

fn most(rounds: &[Measured], number: fn(&Calls) -> u32) -> Option<f64> {
    rounds.iter().map(|it| number(&it.calls)).max().map(f64::from)
}
