//! Logs and traces.
//!
//! Logs go to stderr: one JSON object per line, or text on a terminal. Traces are exported over
//! OTLP, configured by the standard `OTEL_*` variables; without an endpoint there are none. A
//! separate thread exports spans from a bounded queue, so that an unreachable or slow collector
//! loses spans but does not delay the operator.

#[cfg(test)]
mod collected;
mod export;
mod exported_spans;
mod idle_traces;
mod json;
pub mod propagation;
mod resource;
pub mod spans;

use std::time::Duration;

use clap::ValueEnum;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::decide::text::cut;
use crate::telemetry::idle_traces::is_active;
use crate::telemetry::json::JsonLine;
use crate::telemetry::json::SyncField;

pub(crate) use exported_spans::exported_spans;
pub use resource::Pod;
pub use spans::API_CALL_SPAN;
pub use spans::EVENT_SPAN;
pub use spans::OBSERVE_SPAN;
pub use spans::ORPHAN_COLLECTION_SPAN;
pub use spans::PLAN_SPAN;
pub use spans::RECONCILE_SPAN;
pub use spans::WRITE_SPAN;

/// How long the exit waits for the export of spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Libraries that log every poll and every failed call, which the operator logs with more context.
/// The user's filter takes precedence.
const QUIET: &str = "kube_leader_election=warn,kube_client=off,kube_runtime=off";
/// The module that logs whole responses, with the values of `ConfigMaps`. The user's filter does not
/// switch it on.
const LOGS_RESPONSES: &str = "kube_client::client";
/// Maximum length of an error in a log line, in bytes of JSON.
const MAX_ERROR: usize = 4 * 1024;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object per line.
    Json,
    /// Human-readable text.
    Text,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter is invalid.
    #[error("invalid log filter {filter:?}: use for example \"info,kube=debug\"")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Running telemetry. Dropping it loses queued spans: call [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logs, and traces of `pod` if an endpoint is set. What of the `OTEL_*` variables cannot
    /// be used is logged. Must be called within a Tokio runtime, and once per process.
    ///
    /// # Errors
    /// The filter is invalid.
    pub fn start(format: LogFormat, filter: &str, pod: Pod<'_>) -> Result<Self, Error> {
        let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
            .map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
        let export::Traces { provider, warnings } = export::traces(pod);
        let traces = provider.as_ref().map(|provider| {
            exported_spans::layer(export::tracer(provider)).with_filter(exported_spans())
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
                .fmt_fields(SyncField)
                .event_format(JsonLine)
                .boxed()
        };
        let logs = logs.with_filter(filter.and(FilterFn::new(is_logged)));
        tracing_subscriber::registry().with(traces).with(logs).init();
        for warning in warnings {
            tracing::warn!("{}", describe(warning.as_ref()));
        }
        Ok(Self { provider })
    }

    /// Exports queued spans, for at most two seconds.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let flush =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        let error = match tokio::time::timeout(FLUSH_TIMEOUT, flush).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no response within {FLUSH_TIMEOUT:?}"),
        };
        tracing::warn!(error, "cannot export the last spans: check the trace collector");
    }
}

/// Id of the trace that `span` belongs to; `None` if the trace is not exported.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    (span_context.is_valid() && span_context.is_sampled())
        .then(|| span_context.trace_id().to_string())
}

/// Id of the trace that `span` belongs to, if that has more spans than those of a decision: otherwise
/// the trace is not exported.
#[must_use]
pub fn active_trace_id(span: &Span) -> Option<String> {
    trace_id(span).filter(|_| is_active(span.context().span().span_context().trace_id()))
}

fn is_logged(metadata: &Metadata<'_>) -> bool {
    !metadata.is_event() || metadata.target() != LOGS_RESPONSES
}

/// An error and its sources in one line of limited length. A source that the text already contains
/// is not repeated.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = source.source();
    }
    cut(MAX_ERROR, &line.replace('\n', " "))
}
