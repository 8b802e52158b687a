//! How a connection to the API server is built: timeouts, and the layers that every request passes.
//!
//! kube's own retries are off: `backoff` is the only layer that retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::Response;
use kube::Config;
use kube::client::Body;
use kube::client::ClientBuilder;
use tower::BoxError;
use tower::Service;

use crate::kubernetes::layers::count::CountRequests;
use crate::kubernetes::layers::retry_after::KeepRetryAfter;
use crate::metrics::Metrics;
use crate::telemetry::propagation;

/// Read timeout of calls for the Lease.
pub const LEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Read timeout of all other calls, and the longest connect and write timeout.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Read timeout of watches: a little longer than the 290 seconds after which kube's watches end
/// by themselves.
pub const WATCH_TIMEOUT: Duration = Duration::from_mins(5);

/// Starts a client for `config` whose connections may be silent for `read_timeout`. Its requests
/// are counted in `metrics`, carry the current trace, and keep `Retry-After` of errors.
///
/// # Errors
/// The address or the credentials in `config` cannot be used. No request is sent.
pub fn builder(
    config: &Config,
    read_timeout: Duration,
    metrics: &Arc<Metrics>,
) -> kube::Result<
    ClientBuilder<
        impl Service<
            Request<Body>,
            Response = Response<
                impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
            >,
            Error = BoxError,
            Future: Send + 'static,
        > + Send
        + 'static,
    >,
> {
    let mut config = config.clone();
    config.default_retry = false;
    config.connect_timeout = Some(read_timeout.min(CALL_TIMEOUT));
    config.read_timeout = Some(read_timeout);
    config.write_timeout = Some(read_timeout.min(CALL_TIMEOUT));
    let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let count = CountRequests::new(host, Arc::clone(metrics));
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&KeepRetryAfter).with_layer(&count).with_layer(&propagation::layer()))
}
