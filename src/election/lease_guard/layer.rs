//! The guard around the crate's calls.
//!
//! Flow: a GET notes what there is, and shows the crate what may be believed of it; the version
//! that it found is put into the one write that may follow, so that the write fails if anything
//! has changed since. Guarantees: no write without a GET before it; two candidates never both
//! succeed on the same version; an answer to a write that changed nothing is no success.
//! Assumption: calls come one at a time, as those of the crate do under one lock.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
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
use serde_json::Value;
use tower::BoxError;
use tower::Layer;
use tower::Service;
use tower::service_fn;

use crate::election::lease_guard::Record;
use crate::election::lease_guard::Role;
use crate::election::lease_guard::Seen;
use crate::election::lease_guard::Shown;
use crate::election::lease_guard::rewrite;
use crate::election::lease_guard::show;
use crate::kubernetes::layers::request_timeout::limit;

/// Tells the time since the machine booted.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A layer that makes one Lease safe to use.
#[derive(Clone)]
pub struct LeaseGuard {
    name: Arc<str>,
    /// How long Leases last.
    ours: Duration,
    /// How long the API server may work on a write.
    call_timeout: Duration,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// A service whose calls are guarded.
#[derive(Clone)]
pub struct Guarded<Inner> {
    inner: Inner,
    guard: LeaseGuard,
}

struct State {
    role: Role,
    seen: Option<Seen>,
    permit: Permit,
    /// Whether the Lease had been given back when it was last shown as free.
    was_released: bool,
}

/// The one write that may follow a GET.
#[derive(Debug, PartialEq, Eq)]
enum Permit {
    None,
    Create,
    Patch(String),
}

/// A call that the guard does not let pass, or whose answer it does not believe.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No GET came before the write.
    #[error("the Lease was not read before it is written: it is read again")]
    NotRead,
    /// The guard does not know what this call does.
    #[error("{0} is no call for the Lease")]
    Unexpected(Method),
    /// What is to be sent cannot be made conditional.
    #[error("what is to be written to the Lease is no object")]
    NoPatch,
    /// The answer is not about the Lease.
    #[error("the API server answered with HTTP {0}, but not about the Lease")]
    NoLease(StatusCode),
    /// The write has changed nothing, so that nobody else can see it.
    #[error("the Lease is as it was before it was renewed")]
    NotRenewed,
}

// === impl LeaseGuard ===

impl LeaseGuard {
    /// Guards the Lease `name`, where Leases last as long as `ours`.
    #[must_use]
    pub fn new(name: &str, ours: Duration, call_timeout: Duration, clock: Clock) -> Self {
        let state =
            State { role: Role::Candidate, seen: None, permit: Permit::None, was_released: false };
        Self { name: name.into(), ours, call_timeout, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// A client that calls through `client`, guarded.
    #[must_use]
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let service = service_fn(move |request| send(client.clone(), request));
        Client::new(self.layer(service), namespace)
    }

    /// From now on we lead: what is not ours any more is lost, and never taken anew.
    pub fn leads(&self) {
        self.state().role = Role::Leader;
    }

    /// Whether the leader before us had given the Lease back, so that it writes no more.
    #[must_use]
    pub fn was_released(&self) -> bool {
        self.state().was_released
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, answer: Response<Body>, sent: Duration) -> Result<Response<Body>, Error> {
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::NOT_FOUND && !head.status.is_success() {
            return Ok(Response::from_parts(head, body));
        }
        let answer = object(body).await.ok_or(Error::NoLease(head.status))?;
        let lease = if head.status.is_success() {
            Some(answer.clone())
        } else if is_about(&answer, &self.name) {
            None
        } else {
            return Err(Error::NoLease(head.status));
        };
        let shown = self.note(lease.as_ref(), sent);
        Ok(match rewrite::rewritten(lease, &self.name, &shown) {
            Some(shown) => with_body(head, StatusCode::OK, &shown),
            None => with_body(head, StatusCode::NOT_FOUND, &answer),
        })
    }

    /// Notes what there is, and says what may be shown of it.
    fn note(&self, lease: Option<&Value>, sent: Duration) -> Shown {
        let mut state = self.state();
        let record = lease.map(rewrite::record);
        let was_released = record.as_ref().is_some_and(Record::is_released);
        let seen = Seen::of(state.seen.take(), record, (self.clock)());
        let shown = show(&seen, sent, self.ours, state.role);
        state.permit = match &shown {
            Shown::Absent => Permit::Create,
            Shown::Lease { .. } => {
                lease.and_then(rewrite::resource_version).map_or(Permit::None, Permit::Patch)
            }
        };
        if matches!(shown, Shown::Absent | Shown::Lease { is_free: true, .. }) {
            state.was_released = was_released;
        }
        state.seen = Some(seen);
        shown
    }

    /// Takes the permit that the last GET has left. Whatever comes of the write, the next one needs
    /// another.
    fn permit(&self) -> Permit {
        std::mem::replace(&mut self.state().permit, Permit::None)
    }

    /// The write as it may be sent, and the version that it is for.
    fn permitted(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Request<Body>, Option<String>), Error> {
        let version = match (request.method().clone(), self.permit()) {
            (Method::POST, Permit::Create) => None,
            (Method::PATCH, Permit::Patch(version)) => Some(version),
            (Method::POST | Method::PATCH, _) => return Err(Error::NotRead),
            (method, _) => return Err(Error::Unexpected(method)),
        };
        limit(request.uri_mut(), self.call_timeout);
        let Some(version) = version else { return Ok((request, None)) };
        let (head, body) = request.into_parts();
        // In memory, so that nothing has to be waited for.
        let sent = body.collect().now_or_never().and_then(Result::ok);
        let sent = sent.ok_or(Error::NoPatch)?.to_bytes();
        let body = rewrite::conditional(&sent, &version).ok_or(Error::NoPatch)?;
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
            drop(guard.permit());
            let sent = (guard.clock)();
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(guard.read(answer.await?, sent).await?) });
        }
        let (request, version) = match guard.permitted(request) {
            Ok(permitted) => permitted,
            Err(error) => return Box::pin(async { Err(error.into()) }),
        };
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(written(answer.await?, version).await?) })
    }
}

async fn send(client: Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    Ok(client.send(request).await?)
}

/// The answer to a write as it may be shown: the crate must not stumble over what else is in it.
async fn written(answer: Response<Body>, version: Option<String>) -> Result<Response<Body>, Error> {
    let (head, body) = answer.into_parts();
    if !head.status.is_success() {
        return Ok(Response::from_parts(head, body));
    }
    let lease = object(body).await.ok_or(Error::NoLease(head.status))?;
    if version.is_some() && rewrite::resource_version(&lease) == version {
        return Err(Error::NotRenewed);
    }
    let holder = rewrite::record(&lease).holder.unwrap_or_default();
    let shown = Shown::Lease { holder, is_free: false, transitions: 0 };
    let lease = rewrite::rewritten(Some(lease), "", &shown).unwrap_or_default();
    let status = head.status;
    Ok(with_body(head, status, &lease))
}

async fn object(body: Body) -> Option<Value> {
    let bytes = body.collect().await.ok()?.to_bytes();
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// A 404 means the Lease only if it says so: a proxy that has lost its way answers 404 too.
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
