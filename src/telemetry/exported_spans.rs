//! Selects the spans that are exported.

use opentelemetry_sdk::trace::SdkTracer;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::registry::SpanRef;

use crate::telemetry::spans::API_CALL_SPAN;
use crate::telemetry::spans::EVENT_SPAN;
use crate::telemetry::spans::ORPHAN_COLLECTION_SPAN;
use crate::telemetry::spans::RECONCILE_SPAN;
use crate::telemetry::spans::WRITE_SPAN;

/// The spans whose API calls are exported.
const TRACED: [&str; 4] = [RECONCILE_SPAN, ORPHAN_COLLECTION_SPAN, WRITE_SPAN, EVENT_SPAN];

/// The layer that exports spans with `tracer`, all of them.
pub fn layer<S>(tracer: SdkTracer) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        // Nothing reads the current context of OpenTelemetry, and each poll would set it.
        .with_context_activation(false)
}

/// Exports our own spans; of those of API calls, only the ones within a reconcile or an orphan
/// collection. Spans of renewals and watches would be a trace per poll. Spans of libraries are not
/// exported: those of the exporter would cause more, and those of kube repeat ours.
///
/// Without the level and the decision per call site, each event of a library, such as those for every
/// HTTP/2 frame, would be evaluated each time.
pub fn exported_spans<S>() -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    DynFilterFn::new(is_exported)
        .with_max_level_hint(LevelFilter::DEBUG)
        .with_callsite_filter(interest)
}

/// Whether the spans of one place in the code are exported: never, always, or it depends.
fn interest(metadata: &'static Metadata<'static>) -> Interest {
    if !is_ours(metadata) {
        Interest::never()
    } else if metadata.name() == API_CALL_SPAN {
        Interest::sometimes()
    } else {
        Interest::always()
    }
}

fn is_exported<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_within_reconcile =
        |span: SpanRef<'_, S>| span.scope().any(|span| TRACED.contains(&span.name()));
    is_ours(metadata)
        && (metadata.name() != API_CALL_SPAN
            || context.lookup_current().is_some_and(is_within_reconcile))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("configmapsync")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::Event;
    use tracing::span::Attributes;
    use tracing::span::Id;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The names of the spans and the targets of the events that pass the filter.
    #[derive(Clone, Default)]
    struct Passed(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Passed {
        fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.0.lock().push(span.metadata().name().to_owned());
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(event.metadata().target().to_owned());
        }
    }

    fn passed(work: impl FnOnce()) -> Vec<String> {
        let passed = Passed::default();
        let filtered = passed.clone().with_filter(exported_spans());
        let subscriber = tracing_subscriber::registry().with(filtered);
        tracing::subscriber::with_default(subscriber, work);
        let passed = passed.0.lock();
        passed.clone()
    }

    #[test]
    fn a_call_is_exported_within_a_reconcile_only() {
        let call = || drop(tracing::debug_span!(API_CALL_SPAN));
        assert_eq!(
            passed(|| {
                call();
                tracing::info_span!(RECONCILE_SPAN).in_scope(call);
            }),
            [RECONCILE_SPAN, API_CALL_SPAN]
        );
    }

    #[test]
    fn nothing_of_libraries_is_exported() {
        let passed = passed(|| {
            tracing::info_span!(RECONCILE_SPAN).in_scope(|| {
                tracing::error_span!(target: "hyper", "request").in_scope(|| ());
                tracing::error!(target: "hyper", "failed");
                tracing::error!("an event of the operator");
            });
        });
        assert_eq!(passed, [RECONCILE_SPAN]);
    }

    #[test]
    fn the_level_excludes_events_before_any_filter() {
        let filtered = Passed::default().with_filter(exported_spans());
        let subscriber = tracing_subscriber::registry().with(filtered);
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::DEBUG));
    }
}
