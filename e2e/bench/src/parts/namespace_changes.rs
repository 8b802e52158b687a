//! A namespace that joins the selection, leaves it, and joins it again.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::between;

const NAME: &str = "joined";
const NEW: &str = "joining";

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    cluster.make_namespaces(cluster.scaled(BASE)).await?;
    cluster.make_source(NAME).await?;
    cluster.start_operator().await?;
    let screen = cluster.screen.clone();
    let work = async {
        cluster.fixture().create_sync(CENTRAL, NAME, BenchCluster::fan_out(NAME, "base")).await?;
        cluster.wait_synced(NAME, None).await?;
        cluster.wait_rest().await?;
        Ok(Done::new(joins_and_leaves(cluster).await?, ""))
    };
    let steps = screen.step("a namespace joins, leaves, joins", work).await?;
    for (what, verb, measured) in steps {
        let writes = f64::from(measured.calls.count(verb, "configmaps"));
        ledger.bound(format!("{what}: {verb}s"), Some(writes), Relation::Exactly, 1.0);
        ledger.row(what, measured);
    }
    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await
}

type Step = (&'static str, &'static str, Measured);

async fn joins_and_leaves(cluster: &BenchCluster) -> Result<Vec<Step>> {
    let namespaces = Api::<Namespace>::all(cluster.control_plane.client());
    let metadata = json!({"name": NEW, "labels": {"base": "yes"}});
    let namespace: Namespace = serde_json::from_value(json!({"metadata": metadata}))?;
    let arrives = async || {
        cluster.fixture().wait_config_map(NEW, NAME, "the copy is made", LONG, |_| true).await
    };
    let label = async |value: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"base": value}}}));
        namespaces.patch(NEW, &PatchParams::default(), &patch).await
    };

    let joins = async {
        namespaces.create(&PostParams::default(), &namespace).await?;
        let asked = Timestamp::now();
        arrives().await?;
        Ok(asked)
    };
    let joined = timed(cluster, "create", joins).await?;
    let leaves = async {
        label(Value::Null).await?;
        let asked = Timestamp::now();
        cluster.fixture().wait_no_config_map(NEW, NAME, LONG).await?;
        Ok(asked)
    };
    let left = timed(cluster, "delete", leaves).await?;
    let joins_again = async {
        label("yes".into()).await?;
        let asked = Timestamp::now();
        arrives().await?;
        Ok(asked)
    };
    let joined_again = timed(cluster, "create", joins_again).await?;
    namespaces.delete(NEW, &DeleteParams::default()).await?;
    Ok(vec![
        ("a new namespace that matches", "create", joined),
        ("a namespace loses its label", "delete", left),
        ("a namespace gains its label", "create", joined_again),
    ])
}

/// From the moment that `work` tells, which is when it was answered, to the write of the copy.
/// Requests for namespaces are not in the audit log; its clock is that of this machine.
async fn timed(
    cluster: &BenchCluster,
    verb: &str,
    work: impl Future<Output = Result<Timestamp>>,
) -> Result<Measured> {
    let (asked, stretch) = cluster.during(work).await?;
    let wall = between(Some(asked), stretch.last(verb, "configmaps"));
    Ok(stretch.measured().took(1, wall))
}
