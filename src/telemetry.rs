//! Logs and traces.
//!
//! Logs go to stderr: a JSON object per line, or text on a terminal. Traces go out over OTLP as
//! the standard `OTEL_*` variables say, and nowhere if no endpoint is set. Spans wait in a bounded
//! queue of a thread of their own: a collector that is dead or slow costs nothing but its spans.

mod export;
mod json;
pub mod propagation;

use std::time::Duration;

use clap::ValueEnum;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing::Span;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::registry::SpanRef;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long the exit waits for spans to go out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What the libraries say at every poll and every failed call, we say better, or it is no news.
/// A filter that names them all the same is obeyed.
const QUIET: &str = "kube_leader_election=warn,kube_client=off,kube_runtime=off";

/// Name of the span that a round is: the root of its trace.
pub const RECONCILE_SPAN: &str = "reconcile";
/// Name of the span that a sweep is: the root of its trace.
pub const ORPHAN_COLLECTION_SPAN: &str = "sweep";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// A JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter cannot be read.
    #[error("log filter {filter:?} cannot be read: write for example \"info,kube=debug\"")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of traces could not be set up.
    #[error("traces cannot be exported: correct the OTEL_* variables, or unset them")]
    Exporter(#[from] export::Error),
}

/// Running telemetry. Dropping it flushes nothing: call [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logs, and traces if an endpoint is set. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The filter or an `OTEL_*` variable cannot be read.
    pub fn start(format: LogFormat, filter: &str) -> Result<Self, Error> {
        let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
            .map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
        let provider = export::provider()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(export::tracer(provider))
                .with_location(false)
                .with_threads(false)
                .with_filter(DynFilterFn::new(is_exported))
        });
        let as_text = match format {
            LogFormat::Auto => std::io::IsTerminal::is_terminal(&std::io::stderr()),
            LogFormat::Json => false,
            LogFormat::Text => true,
        };
        let logs = if as_text {
            fmt::layer().with_writer(std::io::stderr).with_target(false).boxed()
        } else {
            fmt::layer()
                .with_writer(std::io::stderr)
                .fmt_fields(JsonFields::new())
                .event_format(json::JsonLine)
                .boxed()
        };
        tracing_subscriber::registry().with(traces).with(logs.with_filter(filter)).init();
        Ok(Self { provider })
    }

    /// Sends what is waiting, for two seconds at most.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let flush =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        let why = match tokio::time::timeout(FLUSH_TIMEOUT, flush).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("they were not taken within {FLUSH_TIMEOUT:?}"),
        };
        tracing::warn!(error = why, "the last spans were not sent: see to the collector of traces");
    }
}

/// Id of the trace that `span` belongs to; `None` if it is not traced.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    (span_context.is_valid() && span_context.is_sampled())
        .then(|| span_context.trace_id().to_string())
}

/// Our own spans, and those of the calls that a round or a sweep makes. Renewals and watches would make a
/// trace of every poll, and the exporter's own calls would feed themselves.
fn is_exported<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if !metadata.is_span() {
        return false;
    }
    if metadata.target().starts_with("configmapsync") {
        return true;
    }
    let is_call = metadata.target().starts_with("kube_client");
    let within_a_round = |span: SpanRef<'_, S>| {
        span.scope().any(|span| [RECONCILE_SPAN, ORPHAN_COLLECTION_SPAN].contains(&span.name()))
    };
    is_call && context.lookup_current().is_some_and(within_a_round)
}

/// An error and its causes in one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = deeper.source();
    }
    line.replace('\n', " ")
}
