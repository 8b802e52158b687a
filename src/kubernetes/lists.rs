//! Requests of one page of a list, whose items are decoded while it arrives.

use http::Request;
use http::StatusCode;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::Resource;
use kube::api::ListParams;
use kube::api::WatchParams;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;

use crate::kubernetes::items::Items;

/// Objects per page. The API server has a whole page in memory, and must send it within a minute.
const PAGE_SIZE: u32 = 100;
/// The longest text of a response without a `Status` that is reported.
const MAX_TEXT: usize = 200;

/// The objects of one kind, or those that have a label.
#[derive(Clone, Debug)]
pub struct List {
    path: String,
    fields: Fields,
    label: Option<&'static str>,
    name: Option<String>,
}

/// Which part of each object is requested.
#[derive(Clone, Copy, Debug)]
enum Fields {
    All,
    Metadata,
}

// === impl List ===

impl List {
    /// All objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn objects<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self { path: K::url_path(&(), namespace), fields: Fields::All, label: None, name: None }
    }

    /// The metadata of all objects of a kind in `namespace`; without one, in the whole cluster.
    #[must_use]
    pub fn metadata<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self { fields: Fields::Metadata, ..Self::objects::<K>(namespace) }
    }

    /// Those with the label `key`.
    #[must_use]
    pub fn labelled(self, key: &'static str) -> Self {
        Self { label: Some(key), ..self }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Requests the page with this continue token; `None` for the first one.
    pub async fn page<K: DeserializeOwned>(
        &self,
        client: &Client,
        token: Option<String>,
    ) -> kube::Result<Items<Body, K>> {
        let label_selector = self.label.map(str::to_owned);
        let field_selector = self.name.as_ref().map(|name| format!("metadata.name={name}"));
        let parameters = ListParams {
            continue_token: token,
            label_selector,
            field_selector,
            ..ListParams::default()
        };
        let parameters = parameters.limit(PAGE_SIZE);
        let request = kube::core::Request::new(&self.path);
        let request = match self.fields {
            Fields::All => request.list(&parameters),
            Fields::Metadata => request.list_metadata(&parameters),
        };
        let request = named("list", request.map_err(kube::Error::BuildRequest)?);
        Ok(Items::new(send(client, request).await?))
    }

    /// Requests the changes after `version`: a response without an end, with an event per line.
    pub async fn changes(&self, client: &Client, version: &str) -> kube::Result<Body> {
        let (parameters, request) = (WatchParams::default(), kube::core::Request::new(&self.path));
        let request = match self.fields {
            Fields::All => request.watch(&parameters, version),
            Fields::Metadata => request.watch_metadata(&parameters, version),
        };
        send(client, named("watch", request.map_err(kube::Error::BuildRequest)?)).await
    }
}

/// Names the span of a request, as kube does.
fn named(name: &'static str, request: Request<Vec<u8>>) -> Request<Body> {
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(name);
    request
}

/// Sends `request`, and returns the body of the response unless its code is that of an error.
async fn send(client: &Client, request: Request<Body>) -> kube::Result<Body> {
    let (head, body) = client.send(request).await?.into_parts();
    if head.status.is_success() {
        return Ok(body);
    }
    Err(error_of(head.status, &body.collect().await?.to_bytes()))
}

/// The error of a response with an error code. Without a `Status`, its text is reported if it is short
/// and not HTML.
fn error_of(code: StatusCode, body: &[u8]) -> kube::Error {
    let status = serde_json::from_slice(body).ok().filter(Status::is_failure);
    let mut status = status.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let is_text = (1..=MAX_TEXT).contains(&text.len()) && !text.starts_with('<');
        let shown = if is_text { text } else { "no Status in the response" };
        Status::failure(&format!("HTTP {code}: {shown}"), "")
    });
    if status.code == 0 {
        status.code = code.as_u16();
    }
    kube::Error::Api(status.boxed())
}
