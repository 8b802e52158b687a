//! A single API request, and whether the API server allows it. Tests build tables of both.

use std::fmt;

use anyhow::Result;
use anyhow::bail;
use configmapsync::names;
use http::Request;
use kube::Client;
use serde_json::Value;
use serde_json::json;

/// One request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is attempted, as shown in a table.
    pub what: String,
    method: &'static str,
    path: String,
    media_type: &'static str,
    body: Option<Value>,
}

/// The response to an [`Attempt`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttemptResult {
    /// The HTTP status; 200 for every success.
    pub code: u16,
    /// The message of a failure; empty for a success.
    pub message: String,
}

/// The URL path of the `ConfigMapSync`s in a namespace.
#[must_use]
pub fn syncs(namespace: &str) -> String {
    format!("/apis/apps.nishaf.info/v1/namespaces/{namespace}/configmapsyncs")
}

/// The URL path of the `ConfigMap`s in a namespace.
#[must_use]
pub fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// A `ConfigMap` with the label of a copy, whose `ConfigMapSync` does not exist.
#[must_use]
pub fn copy(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {names::LABEL_SYNC_UID: "1-2"}},
    })
}

/// Creates a copy by dry run: allowed only for the pod in the leader record, once the fence is
/// enforced.
#[must_use]
pub fn fence_probe() -> Attempt {
    let path = format!("{}?dryRun=All", config_maps("default"));
    Attempt::create("create a copy, dry run", path, copy("fence-probe"))
}

impl Attempt {
    /// POST of an object to a collection.
    #[must_use]
    pub fn create(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        Self::new(what, "POST", path, "application/json", Some(body))
    }

    /// PUT of an object.
    #[must_use]
    pub fn replace(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        Self::new(what, "PUT", path, "application/json", Some(body))
    }

    /// A merge patch.
    #[must_use]
    pub fn merge(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        Self::new(what, "PATCH", path, "application/merge-patch+json", Some(body))
    }

    /// A JSON patch.
    #[must_use]
    pub fn patch(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        Self::new(what, "PATCH", path, "application/json-patch+json", Some(body))
    }

    /// A server-side apply with `force`.
    #[must_use]
    pub fn apply(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        let path = format!("{}?fieldManager=e2e-user&force=true", path.into());
        Self::new(what, "PATCH", path, "application/apply-patch+yaml", Some(body))
    }

    /// DELETE of an object.
    #[must_use]
    pub fn delete(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(what, "DELETE", path, "application/json", None)
    }

    fn new(
        what: impl Into<String>,
        method: &'static str,
        path: impl Into<String>,
        media_type: &'static str,
        body: Option<Value>,
    ) -> Self {
        Self { what: what.into(), method, path: path.into(), media_type, body }
    }

    /// Sends the request as the user of `client`.
    ///
    /// # Errors
    /// If there is no response. A response with an error status is a result.
    pub async fn send_as(&self, client: &Client) -> Result<AttemptResult> {
        let body = self.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("Content-Type", self.media_type)
            .body(body.into_bytes())?;
        match client.request_text(request).await {
            Ok(_) => Ok(AttemptResult { code: 200, message: String::new() }),
            Err(kube::Error::Api(status)) => {
                Ok(AttemptResult { code: status.code, message: status.message.clone() })
            }
            Err(error) => bail!("no response to the attempt to {}: {error}", self.what),
        }
    }
}

impl AttemptResult {
    /// Whether the request was allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.code == 200
    }

    /// Whether the admission policy `policy` refused the request, with status 403.
    #[must_use]
    pub fn is_refused_by(&self, policy: &str) -> bool {
        self.code == 403 && self.message.contains(&format!("ValidatingAdmissionPolicy '{policy}'"))
    }
}

/// The text of a table cell: `allowed`, or the status and the message.
impl fmt::Display for AttemptResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_allowed() {
            return f.write_str("passed");
        }
        let message = self.message.split_once("denied request: ").map_or(&*self.message, |it| it.1);
        write!(f, "{} {message}", self.code)
    }
}
