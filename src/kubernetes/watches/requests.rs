//! The requests of a watch, and the responses as values.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::Resource;
use kube::api::ListParams;
use kube::api::WatchParams;
use kube::client::Body;
use kube::core::ObjectList;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::kubernetes::clients::CALL_TIMEOUT;
use crate::kubernetes::clients::Clients;
use crate::kubernetes::watches::error::Error;

/// Objects per page of a list: a page is decoded as a whole, with all `managedFields`.
const PAGE_SIZE: u32 = 100;
/// How long a page may take in all, as on the side of the API server.
const PAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// What to watch, and the clients for it.
#[derive(Clone)]
pub struct Source {
    clients: Clients,
    path: String,
    fields: Fields,
}

/// Which part of each object is requested.
#[derive(Clone, Copy)]
enum Fields {
    All,
    Metadata,
}

// === impl Source ===

impl Source {
    /// All objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn objects<K>(clients: Clients, namespace: Option<&str>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self { clients, path: K::url_path(&(), namespace), fields: Fields::All }
    }

    /// The metadata of all objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn metadata<K>(clients: Clients, namespace: Option<&str>) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self { fields: Fields::Metadata, ..Self::objects::<K>(clients, namespace) }
    }

    /// Requests the page of the list with this continue token; `None` for the first one.
    pub(super) async fn page<K>(&self, token: Option<String>) -> Result<ObjectList<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        let parameters = ListParams { continue_token: token, ..ListParams::default() };
        let parameters = parameters.limit(PAGE_SIZE);
        let request = kube::core::Request::new(&self.path);
        let request = match self.fields {
            Fields::All => request.list(&parameters),
            Fields::Metadata => request.list_metadata(&parameters),
        };
        let request = named("list", request.map_err(kube::Error::BuildRequest)?);
        let page = async {
            let body = send(&self.clients.calls, request).await?;
            let bytes = body.collect().await?.to_bytes();
            serde_json::from_slice(&bytes).map_err(Error::Unreadable)
        };
        timeout(PAGE_TIMEOUT, page).await.unwrap_or(Err(Error::Timeout(PAGE_TIMEOUT)))
    }

    /// Requests the changes after `version`: a response without an end, with an event per line.
    pub(super) async fn changes(&self, version: &str) -> Result<Body, Error> {
        let (parameters, request) = (WatchParams::default(), kube::core::Request::new(&self.path));
        let request = match self.fields {
            Fields::All => request.watch(&parameters, version),
            Fields::Metadata => request.watch_metadata(&parameters, version),
        };
        let request = named("watch", request.map_err(kube::Error::BuildRequest)?);
        // The API server sends the head of the response at once.
        let response = timeout(CALL_TIMEOUT, send(&self.clients.watches, request)).await;
        response.unwrap_or(Err(Error::Timeout(CALL_TIMEOUT)))
    }
}

/// Names the span of a request, as kube does.
fn named(name: &'static str, request: Request<Vec<u8>>) -> Request<Body> {
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(name);
    request
}

/// Sends `request`, and returns the body of the response unless its code is that of an error.
async fn send(client: &Client, request: Request<Body>) -> Result<Body, Error> {
    let (head, body) = client.send(request).await?.into_parts();
    if head.status.is_success() {
        return Ok(body);
    }
    Err(Error::of_response(head.status, &body.collect().await?.to_bytes()))
}
