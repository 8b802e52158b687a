//! Collects the spans of a test.

use std::mem::take;
use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::SimpleSpanProcessor;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanExporter;
use opentelemetry_sdk::trace::SpanProcessor;
use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::telemetry::exported_spans;

/// The spans that were exported.
#[derive(Clone, Debug, Default)]
pub struct Collected(Arc<Mutex<Vec<SpanData>>>);

/// The spans of `work` that pass the processor, in the order of their ends.
pub fn spans<Processor: SpanProcessor + 'static>(
    processor: impl FnOnce(SimpleSpanProcessor<Collected>) -> Processor,
    work: impl FnOnce(),
) -> Vec<SpanData> {
    let collected = Collected::default();
    let processor = processor(SimpleSpanProcessor::new(collected.clone()));
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    let traces = exported_spans::layer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(traces);
    tracing::subscriber::with_default(subscriber, work);
    take(&mut *collected.0.lock())
}

// === impl Collected ===

impl SpanExporter for Collected {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}
