//! The guard as a layer on the client of `kube-leader-election`.
//!
//! Flow: the response to a GET updates the observation, and the crate receives its view. The
//! resourceVersion of the response becomes the precondition of the one write that may follow.
//!
//! Guarantees:
//! * No write without a GET before it.
//! * Of two candidates that read the same version, at most one succeeds.
//! * A write that changed nothing is an error.
//!
//! Assumption: one call at a time; the caller holds a lock.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tower::BoxError;
use tower::Layer;
use tower::Service;
use tower::service_fn;

use crate::election::lease_guard::json;
use crate::election::lease_guard::observation::LeaseView;
use crate::election::lease_guard::observation::Observation;
use crate::election::lease_guard::observation::Role;
use crate::election::lease_guard::record::Record;
use crate::kubernetes::layers::request_timeout::limit;

/// Returns the time since the machine booted.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The layer, for one Lease. Clones share one state.
#[derive(Clone)]
pub struct LeaseGuard {
    name: Arc<str>,
    /// The configured lease duration.
    ours: Duration,
    /// Sent as `?timeout=` with each write.
    call_timeout: Duration,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// A service behind the guard.
#[derive(Clone)]
pub struct Guarded<Inner> {
    inner: Inner,
    guard: LeaseGuard,
}

struct State {
    role: Role,
    observation: Option<Observation>,
    permit: Permit,
    /// Whether the Lease had been released when it was last presented as free.
    was_released: bool,
    /// The holder and resourceVersion of the last response, if it contained the Lease.
    last_read: Option<(String, String)>,
    /// The same, of a Lease whose holder has ended: for the next GET.
    ended: Option<(String, String)>,
    /// Whether proof that its holder has ended was why the Lease was last presented as free.
    has_holder_ended: bool,
    /// Whether this process was permitted to create the Lease as the first candidate, and has not
    /// acquired an existing one since.
    is_first: bool,
}

/// The write that may follow a GET.
#[derive(Debug, PartialEq, Eq)]
enum Permit {
    None,
    Create,
    /// Only of this resourceVersion.
    Patch(String),
}

/// A request that the guard refuses, or a response that it rejects.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A write without a GET before it.
    #[error("the Lease must be read before it is written")]
    NotRead,
    /// A method that the crate does not use.
    #[error("{0} requests for the Lease are not supported")]
    UnsupportedMethod(Method),
    /// The body of a patch is not a JSON object, so that it cannot get a precondition.
    #[error("the patch of the Lease is not a JSON object")]
    InvalidPatch,
    /// The response does not contain the Lease, or a 404 does not name it.
    #[error("the response (HTTP {0}) is not about the Lease: is a proxy in between?")]
    UnexpectedResponse(StatusCode),
    /// The write changed nothing, so that other candidates cannot observe it.
    #[error("the renewal did not change the Lease")]
    NotRenewed,
}

// === impl LeaseGuard ===

impl LeaseGuard {
    /// A guard for the Lease `name`. `ours` is the configured lease duration.
    #[must_use]
    pub fn new(name: &str, ours: Duration, call_timeout: Duration, clock: Clock) -> Self {
        let state = State {
            role: Role::Candidate,
            observation: None,
            permit: Permit::None,
            was_released: false,
            last_read: None,
            ended: None,
            has_holder_ended: false,
            is_first: false,
        };
        Self { name: name.into(), ours, call_timeout, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// A client that sends its requests through the guard and `client`.
    #[must_use]
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let service = service_fn(move |request| send(client.clone(), request));
        Client::new(self.layer(service), namespace)
    }

    /// From now on this process leads: it is never again shown a Lease that it could acquire.
    pub fn set_leading(&self) {
        self.state.lock().role = Role::Leader;
    }

    /// The next GET is that of a candidate that has found no leader record: if the Lease is missing,
    /// and has been in every response so far, it may be created at once.
    pub fn set_first_candidate(&self) {
        let mut state = self.state.lock();
        if state.role == Role::Candidate {
            state.role = Role::FirstCandidate;
        }
    }

    /// There is proof that the process has ended that holds the Lease as `holder`: if the next GET finds
    /// that the Lease has not changed since the last one, it may be acquired at once.
    pub fn set_holder_ended(&self, holder: &str) {
        let mut state = self.state.lock();
        state.ended = state.last_read.clone().filter(|(read, _)| read == holder);
    }

    /// Whether proof that its holder has ended was why the Lease was last presented as free: writes of
    /// that process may still take effect.
    #[must_use]
    pub fn has_holder_ended(&self) -> bool {
        self.state.lock().has_holder_ended
    }

    /// Whether the Lease has been missing in every response so far.
    #[must_use]
    pub fn has_never_existed(&self) -> bool {
        self.state.lock().observation.as_ref().is_some_and(Observation::has_never_existed)
    }

    /// Whether this process may have created the Lease without waiting for the lease duration.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.state.lock().is_first
    }

    /// Whether the previous leader had released the Lease when it was last presented as free.
    #[must_use]
    pub fn was_released(&self) -> bool {
        self.state.lock().was_released
    }

    /// The response to a GET that was sent at `sent`, with the view in place of the Lease.
    async fn read(
        &self,
        response: Response<Body>,
        sent: Duration,
    ) -> Result<Response<Body>, Error> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::NOT_FOUND && !head.status.is_success() {
            return Ok(Response::from_parts(head, body));
        }
        let object = object(body).await.ok_or(Error::UnexpectedResponse(head.status))?;
        let lease = if head.status.is_success() {
            Some(object.clone())
        } else if is_about(&object, &self.name) {
            None
        } else {
            return Err(Error::UnexpectedResponse(head.status));
        };
        let view = self.observe(lease.as_ref(), sent);
        Ok(match json::rewrite(lease, &self.name, &view) {
            Some(rewritten) => with_body(head, StatusCode::OK, &rewritten),
            None => with_body(head, StatusCode::NOT_FOUND, &object),
        })
    }

    /// Updates the observation and the permit, and returns the view.
    fn observe(&self, lease: Option<&Value>, sent: Duration) -> LeaseView {
        let mut state = self.state.lock();
        let record = lease.map(Record::from_json);
        let was_released = record.as_ref().is_some_and(Record::is_released);
        let holder = record.as_ref().and_then(|record| record.holder.clone());
        state.last_read = holder.zip(lease.and_then(json::resource_version));
        let has_ended = state.ended.take().is_some_and(|it| state.last_read.as_ref() == Some(&it));
        let role = match state.role {
            Role::Candidate if has_ended => Role::Successor,
            role => role,
        };
        let observation = Observation::after(state.observation.take(), record, (self.clock)());
        let view = observation.view(sent, self.ours, role);
        if state.role == Role::FirstCandidate {
            state.role = Role::Candidate;
            state.is_first |= view == LeaseView::Missing;
        }
        state.permit = match &view {
            LeaseView::Missing => Permit::Create,
            LeaseView::Lease { .. } => {
                lease.and_then(json::resource_version).map_or(Permit::None, Permit::Patch)
            }
        };
        if matches!(view, LeaseView::Missing | LeaseView::Lease { is_free: true, .. }) {
            state.was_released = was_released;
            state.has_holder_ended = role == Role::Successor;
        }
        if matches!(view, LeaseView::Lease { is_free: true, .. }) {
            state.is_first = false;
        }
        state.observation = Some(observation);
        view
    }

    /// Takes the permit of the last GET. The next write needs another GET, even if this one fails.
    fn take_permit(&self) -> Permit {
        std::mem::replace(&mut self.state.lock().permit, Permit::None)
    }

    /// The write as it is sent, and the resourceVersion that is its precondition.
    fn with_precondition(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Request<Body>, Option<String>), Error> {
        let version = match (request.method().clone(), self.take_permit()) {
            (Method::POST, Permit::Create) => None,
            (Method::PATCH, Permit::Patch(version)) => Some(version),
            (Method::POST | Method::PATCH, _) => return Err(Error::NotRead),
            (method, _) => return Err(Error::UnsupportedMethod(method)),
        };
        limit(request.uri_mut(), self.call_timeout);
        let Some(version) = version else { return Ok((request, None)) };
        let (head, body) = request.into_parts();
        // The body is in memory: collecting it never waits.
        let sent = body.collect().now_or_never().and_then(Result::ok);
        let sent = sent.ok_or(Error::InvalidPatch)?.to_bytes();
        let body = json::conditional(&sent, &version).ok_or(Error::InvalidPatch)?;
        let mut request = Request::from_parts(head, Body::from(body));
        request.headers_mut().remove(CONTENT_LENGTH);
        Ok((request, Some(version)))
    }
}

impl<Inner> Layer<Inner> for LeaseGuard {
    type Service = Guarded<Inner>;

    fn layer(&self, inner: Inner) -> Guarded<Inner> {
        Guarded { inner, guard: self.clone() }
    }
}

// === impl Guarded ===

impl<Inner> Service<Request<Body>> for Guarded<Inner>
where
    Inner: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
    Inner::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let guard = self.guard.clone();
        if request.method() == Method::GET {
            drop(guard.take_permit());
            let sent = (guard.clock)();
            let response = self.inner.call(request);
            return Box::pin(async move { Ok(guard.read(response.await?, sent).await?) });
        }
        let (request, version) = match guard.with_precondition(request) {
            Ok(conditional) => conditional,
            Err(error) => return Box::pin(async { Err(error.into()) }),
        };
        let response = self.inner.call(request);
        Box::pin(async move { Ok(written(response.await?, version).await?) })
    }
}

async fn send(client: Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(client.send(request).await?)
}

/// The response to a write, reduced to the holder: the crate cannot parse every stored value.
async fn written(
    response: Response<Body>,
    version: Option<String>,
) -> Result<Response<Body>, Error> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Ok(Response::from_parts(head, body));
    }
    let lease = object(body).await.ok_or(Error::UnexpectedResponse(head.status))?;
    if version.is_some() && json::resource_version(&lease) == version {
        return Err(Error::NotRenewed);
    }
    let holder = Record::from_json(&lease).holder.unwrap_or_default();
    let view = LeaseView::Lease { holder, is_free: false, transitions: 0 };
    let lease = json::rewrite(Some(lease), "", &view).unwrap_or_default();
    let status = head.status;
    Ok(with_body(head, status, &lease))
}

async fn object(body: Body) -> Option<Value> {
    let bytes = body.collect().await.ok()?.to_bytes();
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// Whether a 404 names the Lease. A misconfigured proxy also responds with 404.
fn is_about(status: &Value, name: &str) -> bool {
    let details = &status["details"];
    details["kind"] == "leases" && details["name"] == name
}

fn with_body(mut head: Parts, status: StatusCode, body: &Value) -> Response<Body> {
    head.status = status;
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body.to_string().into_bytes()))
}

#[cfg(test)]
mod tests;
