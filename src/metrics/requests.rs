//! Metrics of requests to the API server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

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
}

// === impl RequestMetrics ===

impl RequestMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let total = Family::<RequestLabels, Counter>::default();
        let help = "Requests to the API server by status code, method and host";
        registry.register("rest_client_requests", help, total.clone());
        Self { total }
    }

    /// A request to the API server at `host` got a response with this status code; `None`: no
    /// response.
    pub fn count(&self, method: &str, host: &str, code: Option<u16>) {
        let labels = RequestLabels {
            code: code.map_or_else(|| NO_RESPONSE.to_owned(), |code| code.to_string()),
            host: host.to_owned(),
            method: method.to_owned(),
        };
        self.total.get_or_create(&labels).inc();
    }
}
