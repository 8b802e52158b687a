//! Log lines as JSON objects, with the ids of their trace and span, and their sync.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::Map;
use serde_json::Value;
use tracing::Event;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::registry::LookupSpan;

use crate::decide::text::cut;

/// Maximum length of the value of a field, in bytes of JSON: errors of libraries have any length.
const MAX_VALUE: usize = 4 * 1024;
/// The span field that contains `namespace/name` of the sync.
const SYNC: &str = "sync";

/// One JSON object per event: `timestamp`, `level`, `target`, `message`, the event's own fields,
/// and `sync`, `trace_id` and `span_id` where the event has them.
pub struct JsonLine;

// === impl JsonLine ===

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        line.put("timestamp", Timestamp::now().to_string());
        line.put("level", event.metadata().level().to_string());
        line.put("target", event.metadata().target());
        event.record(&mut line);
        // Events of the OpenTelemetry SDK have only a name.
        line.0.entry("message").or_insert_with(|| event.metadata().name().into());
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&fields.fields)
                && let Some(sync) = fields.remove(SYNC)
            {
                line.put(SYNC, sync);
            }
        }
        let current = opentelemetry::Context::current();
        let span = current.span().span_context().clone();
        if span.is_valid() && span.is_sampled() {
            line.put("trace_id", span.trace_id().to_string());
            line.put("span_id", span.span_id().to_string());
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

#[derive(Default)]
struct Line(Map<String, Value>);

// === impl Line ===

impl Line {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), cut(MAX_VALUE, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), cut(MAX_VALUE, &format!("{value:?}")));
    }
}
