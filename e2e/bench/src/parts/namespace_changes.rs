//! A namespace that starts to match the selector, stops, and matches again.

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
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::results::Relation;
use crate::results::Results;

const NAME: &str = "joined";
const NEW: &str = "joining";

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    cluster.create_namespaces(cluster.scaled(BASE)).await?;
    cluster.create_source(NAME).await?;
    cluster.start_operator().await?;
    let screen = cluster.screen.clone();
    let work = async {
        cluster.fixture().create_sync(CENTRAL, NAME, BenchCluster::fan_out(NAME, "base")).await?;
        cluster.wait_synced(NAME, None).await?;
        cluster.wait_idle().await?;
        Ok(Done::new(match_and_unmatch(cluster).await?, ""))
    };
    let steps = screen.step("a namespace matches, stops, matches again", work).await?;
    for (what, verb, measured) in steps {
        let writes = f64::from(measured.calls.count(verb, "configmaps"));
        results.bound(format!("{what}: {verb}s"), Some(writes), Relation::Exactly, 1.0);
        results.row(what, measured);
    }
    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await
}

type Step = (&'static str, &'static str, Measurement);

async fn match_and_unmatch(cluster: &BenchCluster) -> Result<Vec<Step>> {
    let namespaces = Api::<Namespace>::all(cluster.control_plane.client());
    let metadata = json!({"name": NEW, "labels": {"base": "yes"}});
    let namespace: Namespace = serde_json::from_value(json!({"metadata": metadata}))?;
    let wait_copy = async || {
        cluster.fixture().wait_config_map(NEW, NAME, "the copy exists", LONG, |_| true).await
    };
    let label = async |value: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"base": value}}}));
        namespaces.patch(NEW, &PatchParams::default(), &patch).await
    };

    let matching = async {
        namespaces.create(&PostParams::default(), &namespace).await?;
        let responded = Timestamp::now();
        wait_copy().await?;
        Ok(responded)
    };
    let created = timed(cluster, "create", matching).await?;
    let unmatching = async {
        label(Value::Null).await?;
        let responded = Timestamp::now();
        cluster.fixture().wait_no_config_map(NEW, NAME, LONG).await?;
        Ok(responded)
    };
    let deleted = timed(cluster, "delete", unmatching).await?;
    let matching_again = async {
        label("yes".into()).await?;
        let responded = Timestamp::now();
        wait_copy().await?;
        Ok(responded)
    };
    let created_again = timed(cluster, "create", matching_again).await?;
    namespaces.delete(NEW, &DeleteParams::default()).await?;
    Ok(vec![
        ("a new namespace that matches", "create", created),
        ("a namespace loses its label", "delete", deleted),
        ("a namespace gains its label", "create", created_again),
    ])
}

/// Measures the time from the response to the request of `work`, which `work` returns, until the operator
/// writes the copy. The response time is taken here, because the audit log contains no requests for
/// namespaces; its timestamps are from the same clock.
async fn timed(
    cluster: &BenchCluster,
    verb: &str,
    work: impl Future<Output = Result<Timestamp>>,
) -> Result<Measurement> {
    let (responded, observation) = cluster.observe(work).await?;
    let wall = between(Some(responded), observation.last_response_time(verb, "configmaps"));
    Ok(observation.measured().took(1, wall))
}
