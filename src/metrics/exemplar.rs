//! Exemplars: the trace of one observation in each bucket of a histogram (`OpenMetrics`, "Exemplars").

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;

/// A histogram whose buckets each name the trace of their last observation.
pub type TracedHistogram = HistogramWithExemplars<TraceLabel>;

/// The label of an exemplar.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TraceLabel {
    trace_id: String,
}

/// Observes `seconds`, in the trace of this id, if it is exported.
pub fn observe(histogram: &TracedHistogram, seconds: f64, trace_id: Option<String>) {
    histogram.observe(seconds, trace_id.map(|trace_id| TraceLabel { trace_id }), None);
}

/// Buckets in seconds, from one millisecond to half a minute.
pub fn seconds() -> TracedHistogram {
    let buckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    TracedHistogram::new(buckets.into_iter())
}
