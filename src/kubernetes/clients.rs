//! Clients of the API server: timeouts, and the layers that every request passes.
//!
//! kube's own retries are off: `backoff` is the only layer that retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::Response;
use kube::Client;
use kube::Config;
use kube::client::Body;
use kube::client::ClientBuilder;
use tower::BoxError;
use tower::Service;

use crate::kubernetes::layers::count::CountRequests;
use crate::kubernetes::layers::read_timeout::ReadTimeout;
use crate::kubernetes::layers::retry_after::KeepRetryAfter;
use crate::kubernetes::layers::trace::TraceCalls;
use crate::metrics::Metrics;

/// Read timeout of calls on the Lease.
pub const LEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Read timeout of all other calls, and the longest connect and write timeout.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Read timeout of watches: longer than the 290 seconds for which kube requests a watch.
pub const WATCH_TIMEOUT: Duration = Duration::from_mins(5);

/// The clients of the controller.
#[derive(Clone)]
pub struct Clients {
    /// For reads, lists and writes, which are answered within a short time.
    pub calls: Client,
    /// For watches, which are silent for minutes.
    pub watches: Client,
}

/// A builder of clients for `config` with the given read timeout. Their requests are counted in
/// `metrics`, have a span each, and keep the `Retry-After` of error responses.
///
/// # Errors
/// The address or the credentials in `config` are unusable. No request is sent.
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
    // Kept by a layer: that of kube also runs while a connection is idle.
    config.read_timeout = None;
    config.write_timeout = Some(read_timeout.min(CALL_TIMEOUT));
    let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let count = CountRequests::new(host, Arc::clone(metrics));
    let trace = TraceCalls::new(&config.cluster_url);
    let builder = ClientBuilder::try_from(config)?;
    let builder = builder.with_layer(&ReadTimeout(read_timeout));
    Ok(builder.with_layer(&KeepRetryAfter).with_layer(&count).with_layer(&trace))
}
