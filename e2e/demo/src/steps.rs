//! What the demo shows of the operator, from its installation to a trace.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::ResourceExt;
use kube::api::DeleteParams;
use testbed::helm::RELEASE;
use testbed::jaeger;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::copy;
use crate::copy::Pair;
use crate::operator_pods;
use crate::report::Report;
use crate::samples;
use crate::samples::CONFIG_MAP;
use crate::samples::SYNC;
use crate::setup::Setup;

const DEADLINE: Duration = Duration::from_secs(30);

/// Plays it, and tells what was seen.
pub async fn run(screen: &Screen, setup: &Setup) -> Result<Report> {
    let mut report = Report {
        footprint: setup.cluster.as_ref().map(|cluster| cluster.sandbox().footprint().clone()),
        ..Report::default()
    };
    install(screen, setup, &mut report).await?;
    let trace = copy_made(screen, setup).await?;
    let pair = Pair::new(&setup.client);
    let followed = async {
        report.follow = pair.edit_source("greeting", "hello, everybody").await?;
        Ok(Done::new((), "greeting: hello, everybody").took(report.follow))
    };
    screen.step("source edited, copy follows", followed).await?;
    let repaired = async {
        let took = pair.edit_copy("greeting", "edited by hand").await?;
        Ok(Done::new((), "a value of the copy changed by hand, and back again").took(took))
    };
    screen.step("copy edited by hand, repaired", repaired).await?;
    fail_over(screen, setup, &pair, &mut report).await?;
    delete(screen, setup, &pair).await?;
    match &setup.jaeger {
        Some(jaeger) => show_trace(screen, jaeger, &trace, &mut report).await?,
        None => Screen::not_shown(TRACE, "needs the Jaeger of a cluster that the demo makes"),
    }
    Ok(report)
}

const TRACE: &str = "trace of the first copy, asked of Jaeger";

async fn install(screen: &Screen, setup: &Setup, report: &mut Report) -> Result<()> {
    let client = &setup.client;
    let installed = async {
        operator_pods::create_namespace(client).await?;
        let mut values = setup.values.clone();
        values.push(("replicaCount", operator_pods::REPLICAS.to_string()));
        setup.helm.install(&values).await?;
        let namespaces = Api::<Namespace>::all(client.clone());
        let labels = namespaces.get(RELEASE).await?.metadata.labels.unwrap_or_default();
        report.pod_security = labels.get(operator_pods::POD_SECURITY).cloned().unwrap_or_default();
        Ok(Done::new((), format!("namespace {RELEASE}, Pod Security: {}", report.pod_security)))
    };
    screen.step("helm install with 3 replicas", installed).await?;
    let ready = async {
        operator_pods::wait_ready(client).await?;
        operator_pods::wait_leader(client, None).await?;
        report.leaders =
            operator_pods::leaders(client).await?.iter().map(ResourceExt::name_any).collect();
        Ok(Done::new((), format!("{} leads", report.leaders.join(", "))))
    };
    screen.step("three pods ready, one holds the Lease", ready).await
}

/// Applies the seed manifest and shows the copy; returns the id of the trace of it.
async fn copy_made(screen: &Screen, setup: &Setup) -> Result<String> {
    let (client, pair) = (&setup.client, Pair::new(&setup.client));
    let applied = async {
        samples::create(client, "source.yaml").await?;
        let source = pair.source.get(CONFIG_MAP).await.context("reading the source")?;
        let apply = samples::create(client, "configmapsync.yaml");
        let took = pair
            .watch_copy(apply, "the copy equals the source", |copy| {
                copy.is_some_and(|copy| copy.data == source.data)
            })
            .await?;
        let detail = "deploy/samples/configmapsync.yaml, unchanged";
        Ok(Done::new(pair.copy.get(CONFIG_MAP).await?, detail).took(took))
    };
    let made = screen.step("seed manifest applied, copy made", applied).await?;
    Screen::show(&copy::drawn(&made));

    let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), "default");
    let status = async {
        let trace = until("the sync is Ready and names its trace", DEADLINE, || async {
            let status = syncs.get(SYNC).await?.status;
            let seen = || format!("{:?}", status.as_ref());
            let ready = status.iter().flat_map(|status| &status.conditions);
            let ready = ready.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
            let trace = status.as_ref().and_then(|status| status.last_trace_id.clone());
            // Where no traces are sent, none is named.
            let trace = if setup.jaeger.is_some() { trace } else { Some(String::new()) };
            Ok(Seen::from_option(trace.filter(|_| ready), seen))
        });
        let trace = trace.await?;
        let detail = match trace.as_str() {
            "" => "kubectl wait --for=condition=Ready would return".to_owned(),
            id => format!("status.lastTraceID: {id}"),
        };
        Ok(Done::new(trace, detail))
    };
    screen.step("sync reports Ready", status).await
}

async fn fail_over(screen: &Screen, setup: &Setup, pair: &Pair, report: &mut Report) -> Result<()> {
    let client = &setup.client;
    let another = async {
        let leader = operator_pods::wait_leader(client, None).await?;
        let began = Instant::now();
        operator_pods::delete(client, &leader).await?;
        let next = operator_pods::wait_leader(client, Some(&leader)).await?;
        report.failover = began.elapsed();
        Ok(Done::new((), format!("{next} leads")).took(report.failover))
    };
    screen.step("leader pod deleted, another leads", another).await?;
    let followed = async {
        let took = pair.edit_source("greeting", "hello again").await?;
        Ok(Done::new((), "greeting: hello again").took(took))
    };
    screen.step("source edited again, copy follows", followed).await
}

async fn delete(screen: &Screen, setup: &Setup, pair: &Pair) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(setup.client.clone(), "default");
    let gone = async {
        let deleted = async {
            let deleted = syncs.delete(SYNC, &DeleteParams::default()).await;
            deleted.with_context(|| format!("deleting the ConfigMapSync {SYNC}"))?;
            Ok(())
        };
        let took = pair.watch_copy(deleted, "the copy is gone", |copy| copy.is_none()).await?;
        until("the ConfigMapSync is gone, and its finalizer with it", DEADLINE, || async {
            let sync = syncs.get_opt(SYNC).await?;
            let seen = || format!("{:?}", sync.as_ref().map(|sync| &sync.metadata.finalizers));
            Ok(Seen::from_bool(sync.is_none(), seen))
        })
        .await?;
        Ok(Done::new((), "the source stays").took(took))
    };
    screen.step("ConfigMapSync deleted, copy and finalizer gone", gone).await
}

async fn show_trace(screen: &Screen, jaeger: &Jaeger, id: &str, report: &mut Report) -> Result<()> {
    let fetched = async {
        let trace = until(format!("Jaeger has the trace {id}"), DEADLINE, || async {
            let trace = jaeger.trace(id).await?;
            let seen = trace.as_ref().map(jaeger::draw);
            Ok(Seen::from_option(trace.filter(Trace::shows_creation), || format!("{seen:?}")))
        });
        let trace = trace.await?;
        Ok(Done::new(trace, format!("{}/api/traces/{id}", jaeger.query())))
    };
    let trace = screen.step(TRACE, fetched).await?;
    report.spans = trace.spans.iter().map(|span| span.name.clone()).collect();
    Screen::show(&jaeger::draw(&trace));
    Ok(())
}
