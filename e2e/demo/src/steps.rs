//! The steps, from the installation of the operator to a trace.

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

use crate::copy_pair;
use crate::copy_pair::CopyPair;
use crate::environment::Environment;
use crate::failing_sync;
use crate::operator_pods;
use crate::report::Report;
use crate::samples;
use crate::samples::CONFIG_MAP;
use crate::samples::SYNC;

/// The time limit for a change of the status, and for a trace to arrive in Jaeger.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs the steps in an environment without the operator.
pub async fn run(screen: &Screen, environment: &Environment) -> Result<Report> {
    let mut report = Report {
        footprint: environment
            .cluster
            .as_ref()
            .map(|cluster| cluster.sandbox().footprint().clone()),
        ..Report::default()
    };
    install(screen, environment, &mut report).await?;
    let trace = create_copy(screen, environment).await?;
    let pair = CopyPair::new(&environment.client);
    let followed = async {
        report.follow = pair.edit_source("greeting", "hello, world").await?;
        Ok(Done::new((), "greeting: hello, world").took(report.follow))
    };
    screen.step("source updated, copy follows", followed).await?;
    let repaired = async {
        let took = pair.edit_copy("greeting", "edited by hand").await?;
        Ok(Done::new((), "the changed value was reverted").took(took))
    };
    screen.step("copy edited by hand, drift repaired", repaired).await?;
    fail_over(screen, environment, &pair, &mut report).await?;
    delete(screen, environment, &pair).await?;
    let failure = failing_sync::show(screen, &environment.client).await?;
    match &environment.jaeger {
        Some(jaeger) => {
            let spans = show_trace(screen, jaeger, TRACE, &trace, Trace::shows_creation).await?;
            report.spans = spans.spans.iter().map(|span| span.name.clone()).collect();
            let has_root = |trace: &Trace| trace.root().is_some();
            report.failure =
                Some(show_trace(screen, jaeger, FAILURE_TRACE, &failure, has_root).await?);
        }
        None => {
            for trace in [TRACE, FAILURE_TRACE] {
                Screen::not_shown(trace, "skipped: requires the demo's own cluster");
            }
        }
    }
    Ok(report)
}

const TRACE: &str = "trace of the first copy, from Jaeger";
const FAILURE_TRACE: &str = "trace of the refusal, from Jaeger";

async fn install(screen: &Screen, environment: &Environment, report: &mut Report) -> Result<()> {
    let client = &environment.client;
    let installed = async {
        operator_pods::create_namespace(client).await?;
        let mut values = environment.values.clone();
        values.push(("replicaCount", operator_pods::REPLICAS.to_string()));
        environment.helm.install(&values).await?;
        let namespaces = Api::<Namespace>::all(client.clone());
        let labels = namespaces.get(RELEASE).await?.metadata.labels.unwrap_or_default();
        report.pod_security = labels.get(operator_pods::POD_SECURITY).cloned().unwrap_or_default();
        Ok(Done::new((), format!("namespace {RELEASE}, Pod Security: {}", report.pod_security)))
    };
    screen.step("helm install, 3 replicas", installed).await?;
    let ready = async {
        operator_pods::wait_ready(client).await?;
        operator_pods::wait_leader(client, None).await?;
        report.leaders =
            operator_pods::leaders(client).await?.iter().map(ResourceExt::name_any).collect();
        Ok(Done::new((), format!("leader: {}", report.leaders.join(", "))))
    };
    screen.step("3 pods ready, one of them the leader", ready).await
}

/// Creates a `ConfigMapSync` and prints the copy. Returns the id of the trace, empty without Jaeger.
async fn create_copy(screen: &Screen, environment: &Environment) -> Result<String> {
    let (client, pair) = (&environment.client, CopyPair::new(&environment.client));
    let applied = async {
        samples::create(client, "source.yaml").await?;
        let source = pair.source.get(CONFIG_MAP).await.context("reading the source")?;
        let apply = samples::create(client, "configmapsync.yaml");
        let took = pair
            .watch_copy(apply, "a copy that equals the source", |copy| {
                copy.is_some_and(|copy| copy.data == source.data)
            })
            .await?;
        let detail = "deploy/samples/configmapsync.yaml";
        Ok(Done::new(pair.copy.get(CONFIG_MAP).await?, detail).took(took))
    };
    let made = screen.step("ConfigMapSync applied, copy created", applied).await?;
    Screen::show(&copy_pair::yaml_lines(&made));

    let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), "default");
    let status = async {
        let trace =
            until("Ready and a trace id in the status of the ConfigMapSync", DEADLINE, || async {
                let status = syncs.get(SYNC).await?.status;
                let seen = || format!("{:?}", status.as_ref());
                let ready = status.iter().flat_map(|status| &status.conditions);
                let ready = ready.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
                let trace = status.as_ref().and_then(|status| status.last_trace_id.clone());
                // Without a collector, the status contains no trace id.
                let trace = if environment.jaeger.is_some() { trace } else { Some(String::new()) };
                Ok(Seen::from_option(trace.filter(|_| ready), seen))
            });
        let trace = trace.await?;
        let detail = match trace.as_str() {
            "" => "condition Ready: True".to_owned(),
            id => format!("status.lastTraceID: {id}"),
        };
        Ok(Done::new(trace, detail))
    };
    screen.step("ConfigMapSync is Ready", status).await
}

async fn fail_over(
    screen: &Screen,
    environment: &Environment,
    pair: &CopyPair,
    report: &mut Report,
) -> Result<()> {
    let client = &environment.client;
    let another = async {
        let leader = operator_pods::wait_leader(client, None).await?;
        let began = Instant::now();
        operator_pods::delete(client, &leader).await?;
        let next = operator_pods::wait_leader(client, Some(&leader)).await?;
        report.failover = began.elapsed();
        Ok(Done::new((), format!("leader: {next}")).took(report.failover))
    };
    screen.step("leader pod deleted, another replica leads", another).await?;
    let followed = async {
        let took = pair.edit_source("greeting", "hello again").await?;
        Ok(Done::new((), "greeting: hello again").took(took))
    };
    screen.step("source updated again, copy follows", followed).await
}

async fn delete(screen: &Screen, environment: &Environment, pair: &CopyPair) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(environment.client.clone(), "default");
    let gone = async {
        let deleted = async {
            let deleted = syncs.delete(SYNC, &DeleteParams::default()).await;
            deleted.with_context(|| format!("deleting ConfigMapSync {SYNC}"))?;
            Ok(())
        };
        let took =
            pair.watch_copy(deleted, "the deletion of the copy", |copy| copy.is_none()).await?;
        until("the removal of the finalizer from the ConfigMapSync", DEADLINE, || async {
            let sync = syncs.get_opt(SYNC).await?;
            let seen = || format!("{:?}", sync.as_ref().map(|sync| &sync.metadata.finalizers));
            Ok(Seen::from_bool(sync.is_none(), seen))
        })
        .await?;
        Ok(Done::new((), "the source is kept").took(took))
    };
    screen.step("ConfigMapSync deleted, copy deleted", gone).await
}

/// Draws the trace with this id once Jaeger has enough of it.
async fn show_trace(
    screen: &Screen,
    jaeger: &Jaeger,
    step: &str,
    id: &str,
    is_enough: impl Fn(&Trace) -> bool,
) -> Result<Trace> {
    let fetched = async {
        let trace = until(format!("trace {id} in Jaeger"), DEADLINE, || async {
            let trace = jaeger.trace(id).await?;
            let seen = trace.as_ref().map(jaeger::draw);
            Ok(Seen::from_option(trace.filter(&is_enough), || format!("{seen:?}")))
        });
        Ok(Done::new(trace.await?, format!("{}/api/traces/{id}", jaeger.query())))
    };
    let trace = screen.step(step, fetched).await?;
    Screen::show(&jaeger::draw(&trace));
    Ok(trace)
}
