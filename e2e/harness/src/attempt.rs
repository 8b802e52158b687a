//! What somebody tries by hand, and what the API server answers: for tables of both.

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
    /// What it is, for a person.
    pub what: String,
    method: &'static str,
    path: String,
    media_type: &'static str,
    body: Option<Value>,
}

/// How it was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttemptResult {
    /// The HTTP status; of every success, 200.
    pub code: u16,
    /// The sentence of a failure.
    pub message: String,
}

/// The path of our kind in a namespace.
#[must_use]
pub fn syncs(namespace: &str) -> String {
    format!("/apis/apps.nishaf.info/v1/namespaces/{namespace}/configmapsyncs")
}

/// The path of `ConfigMap`s in a namespace.
#[must_use]
pub fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// A copy, of a sync that does not exist.
#[must_use]
pub fn copy(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {names::LABEL_SYNC_UID: "1-2"}},
    })
}

/// Tells by dry run whether the fence holds a pod of the operator back: whether it may create a
/// copy.
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

    /// A server-side apply, by force.
    #[must_use]
    pub fn apply(what: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        let path = format!("{}?fieldManager=somebody&force=true", path.into());
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

    /// Tries it as whoever `client` is.
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
            Err(error) => bail!("{}: {error}", self.what),
        }
    }
}

impl AttemptResult {
    /// Whether it was let through.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.code == 200
    }

    /// Whether the admission policy of that name refused it, as forbidden.
    #[must_use]
    pub fn is_refused_by(&self, policy: &str) -> bool {
        self.code == 403 && self.message.contains(&format!("ValidatingAdmissionPolicy '{policy}'"))
    }
}

/// As a cell of a table.
impl fmt::Display for AttemptResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_allowed() {
            return f.write_str("passed");
        }
        let said = self.message.split_once("denied request: ").map_or(&*self.message, |it| it.1);
        write!(f, "{} {said}", self.code)
    }
}
