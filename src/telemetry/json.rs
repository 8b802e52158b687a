//! Log lines as JSON objects, with the ids of their trace and span, and their sync.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::Map;
use serde_json::Value;
use tracing::Event;
use tracing::Subscriber;
use tracing::dispatcher;
use tracing::field::Field;
use tracing::field::Visit;
use tracing::span::Id;
use tracing::span::Record;
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::field::RecordFields;
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

/// Of the fields of a span, a line has only its sync. The other fields are not formatted at all: each write
/// has a span.
#[derive(Clone, Copy, Debug)]
pub struct SyncField;

/// Writes the value of the field [`SYNC`].
struct WriteSync<'writer> {
    writer: Writer<'writer>,
    result: fmt::Result,
}

/// One JSON object per event: `timestamp`, `level`, `target`, `message`, the event's own fields,
/// and `sync`, `trace_id` and `span_id` where the event has them.
pub struct JsonLine;

// === impl JsonLine ===

impl<S> FormatEvent<S, SyncField> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SyncField>,
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
            if let Some(sync) = span.extensions().get::<FormattedFields<SyncField>>()
                && !sync.fields.is_empty()
            {
                line.put(SYNC, sync.fields.as_str());
            }
        }
        let exported =
            context.event_scope().into_iter().flatten().find_map(|span| exported(&span.id()));
        if let Some(span) = exported.filter(SpanContext::is_sampled) {
            line.put("trace_id", span.trace_id().to_string());
            line.put("span_id", span.span_id().to_string());
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// The ids of a span in its trace; `None` if the span is not exported. The subscriber must be that of the
/// process.
fn exported(span: &Id) -> Option<SpanContext> {
    let context = dispatcher::get_default(|subscriber| get_otel_context(span, subscriber))?;
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

// === impl SyncField ===

impl<'writer> FormatFields<'writer> for SyncField {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut sync = WriteSync { writer, result: Ok(()) };
        fields.record(&mut sync);
        sync.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        added: &Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), added)
    }
}

// === impl WriteSync ===

impl Visit for WriteSync<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == SYNC {
            self.result = write!(self.writer, "{value:?}");
        }
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(work: impl FnOnce()) -> Value {
        let output = Output::default();
        let writer = output.clone();
        let logs = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(SyncField)
            .event_format(JsonLine);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(logs), work);
        let line = output.0.lock();
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_line_has_the_sync_of_an_outer_span() {
        let line = logged(|| {
            let name = "team-a/shared";
            tracing::info_span!("reconcile", trigger = "resync", sync = name).in_scope(|| {
                let write = tracing::info_span!("write copy", sync = %name, version = Empty);
                write.record("version", "7");
                write.in_scope(|| {
                    tracing::info_span!("call").in_scope(|| tracing::info!(count = 3, "done"));
                });
            });
        });
        assert_eq!(line["sync"], "team-a/shared");
        assert_eq!((&line["message"], &line["count"]), (&"done".into(), &3.into()));
        assert_eq!((line.get("trigger"), line.get("version")), (None, None));
    }

    #[test]
    fn a_line_outside_of_a_reconcile_has_no_sync() {
        let line = logged(|| tracing::info!("started"));
        assert_eq!(line.get("sync"), None);
    }
}
