//! Metrics of requests to the API server.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    host: String,
    verb: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    host: String,
    method: String,
}

/// The value of the label `code` for a request without response, as in client-go.
const NO_RESPONSE: &str = "<error>";

/// Metrics of requests to the API server.
#[derive(Debug)]
pub struct RequestMetrics {
    total: Family<RequestLabels, Counter>,
    seconds: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

// === impl RequestMetrics ===

impl RequestMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let total = Family::<RequestLabels, Counter>::default();
        let help = "Requests to the API server by status code, method and host";
        registry.register("rest_client_requests", help, total.clone());
        let seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let help = "Time until the response to a request to the API server, by method and host";
        registry.register("rest_client_request_duration_seconds", help, seconds.clone());
        Self { total, seconds }
    }

    /// A request to the API server at `host` got a response with this status code after `duration`;
    /// `None`: no response.
    pub fn count(&self, method: &str, host: &str, code: Option<u16>, duration: Duration) {
        let labels = DurationLabels { host: host.to_owned(), verb: method.to_owned() };
        self.seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        let labels = RequestLabels {
            code: code.map_or_else(|| NO_RESPONSE.to_owned(), |code| code.to_string()),
            host: host.to_owned(),
            method: method.to_owned(),
        };
        self.total.get_or_create(&labels).inc();
    }
}

/// Buckets from one millisecond to a minute, which a slow webhook takes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}
