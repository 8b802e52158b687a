//! The trace of an orphan collection names the deleted syncs.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::orphan_collection::COLLECTED;
use crate::support::orphan_collection::fast_collection;
use crate::traces::support::create_copy;
use crate::traces::support::environment;
use crate::traces::support::tags;

#[tokio::test]
async fn an_orphan_collection_names_the_deleted_sync() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let options = environment(&jaeger.otlp_grpc(), &[]);
    let options = Options { arguments: fast_collection("1s").arguments, ..options };
    let mut cluster = OperatorCluster::start_with(1, options).await?;
    let (fixture, _) = create_copy(&cluster).await?;
    cluster.replica()?.terminate_and_wait().await?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;
    cluster.replica()?.restart()?;
    fixture.wait_no_config_map("app", "shared", COLLECTED).await?;

    let trace = until("Jaeger has the orphan collection with its delete", SOON, || async {
        let traces = jaeger.traces(OPERATOR).await?;
        let deletes = |trace: &&Trace| {
            trace.root().is_some_and(|root| root.name == "orphan collection")
                && trace.spans.iter().any(|span| span.name == "collect orphan")
                && trace.spans.iter().any(|span| span.name == "DELETE configmaps")
        };
        let names =
            || format!("{:?}", traces.iter().map(testbed::jaeger::draw).collect::<Vec<_>>());
        Ok(Seen::from_option(traces.iter().find(deletes).cloned(), names))
    })
    .await?;
    let root = trace.root().context("no root")?;
    let numbers = ["orphans", "due"].map(|name| root.number(name));
    ensure!(numbers == [Some(1), Some(1)], "{numbers:?} in {root:#?}");
    ensure!(tags(root, &["syncs"])?["syncs"] == "central/sync", "{root:#?}");
    let orphan =
        trace.spans.iter().find(|span| span.name == "collect orphan").context("no orphan")?;
    let tags = tags(orphan, &["sync", "destination"])?;
    ensure!(tags["sync"] == "central/sync" && tags["destination"] == "app/shared", "{tags:?}");
    Ok(())
}
