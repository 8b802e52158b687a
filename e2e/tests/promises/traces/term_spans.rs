//! A leader is in the traces as soon as its leader record is published, and how its term ended is,
//! unless it was killed.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Span;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::traces::support::environment;
use crate::traces::support::tags;

/// Waits for a root span of this name, in which the holder is on the pod with the uid.
async fn wait_span(jaeger: &Jaeger, name: &str, pod_uid: &str) -> Result<Span> {
    until(format!("Jaeger has a span {name} of the pod {pod_uid}"), SOON, || async {
        let traces = jaeger.traces(OPERATOR).await?;
        let roots: Vec<_> = traces.iter().filter_map(|trace| trace.root()).collect();
        let is_wanted = |span: &&&Span| {
            span.name == name && span.tag("holder").is_some_and(|it| it.ends_with(pod_uid))
        };
        let names = || roots.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        Ok(Seen::from_option(roots.iter().find(is_wanted).map(|it| (*it).clone()), names))
    })
    .await
}

/// Fails unless `end` has the holder and the term of `elected`, and a link to it.
fn ensure_linked(elected: &Span, end: &Span) -> Result<()> {
    let identity = ["holder", "term"];
    ensure!(tags(elected, &identity)? == tags(end, &identity)?, "{elected:#?} {end:#?}");
    let linked = end.references.iter().any(|it| it.span_id == elected.id);
    ensure!(linked && end.parent().is_none(), "no link to {}: {end:#?}", elected.id);
    Ok(())
}

#[tokio::test]
async fn a_term_is_traced_when_it_begins_and_ends() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let options = environment(&jaeger.otlp_grpc(), &[]);
    let options = Options { arguments: Options::quick(6).arguments, ..options };
    let mut cluster = OperatorCluster::start_with(1, options).await?;

    let killed = cluster.take_leader().await?;
    let elected = wait_span(&jaeger, "elected", &killed.pod().uid).await?;
    ensure!(tags(&elected, &["term"])?["term"] == "1", "{elected:#?}");
    killed.process().kill()?;

    cluster.add_replicas(1).await?;
    let stopped = cluster.take_leader().await?;
    let elected = wait_span(&jaeger, "elected", &stopped.pod().uid).await?;
    stopped.terminate_and_wait().await?;
    let end = wait_span(&jaeger, "stopped", &stopped.pod().uid).await?;
    ensure_linked(&elected, &end)?;
    ensure!(end.tag("error").is_none(), "{end:#?}");

    cluster.add_replicas(1).await?;
    let loser = cluster.take_leader().await?;
    let elected = wait_span(&jaeger, "elected", &loser.pod().uid).await?;
    cluster.fixture().set_lease_holder("another").await?;
    loser.process().wait_exit(SOON).await?;
    let end = wait_span(&jaeger, "lost", &loser.pod().uid).await?;
    ensure_linked(&elected, &end)?;
    let error = tags(&end, &["error", "error.type", "otel.status_description"])?;
    ensure!(error["error.type"] == "LeaseHeldByAnother", "{error:?}");
    let text = error.get("otel.status_description").context("no description")?;
    ensure!(text.contains("the Lease is held by another"), "{error:?}");
    Ok(())
}
