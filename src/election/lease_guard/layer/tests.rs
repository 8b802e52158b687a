use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt as _;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use serde_json::json;
use tower::service_fn;
use tower::util::BoxService;

use super::*;

const TTL: Duration = Duration::from_secs(15);

/// An API server with one Lease, and the clock that all candidates use.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    version: Arc<AtomicU64>,
    seconds: Arc<AtomicU64>,
}

impl Server {
    fn put(&self, spec: &Value) {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        *self.lease.lock() = Some(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "lease", "uid": "u", "resourceVersion": version.to_string()},
            "spec": spec,
        }));
    }

    fn spec(&self) -> Value {
        self.lease.lock().as_ref().map(|lease| lease["spec"].clone()).unwrap_or_default()
    }

    fn wait(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn respond(&self, method: &Method, sent: &Value) -> (u16, Value) {
        let stored = self.lease.lock().clone();
        match (method, stored) {
            (&Method::GET, Some(lease)) => (200, lease),
            (&Method::POST, None) => {
                self.put(&sent["spec"]);
                (201, self.lease.lock().clone().unwrap())
            }
            (&Method::POST, Some(_)) => (409, json!({"code": 409, "reason": "AlreadyExists"})),
            (&Method::PATCH, Some(lease)) => {
                let version = &sent["metadata"]["resourceVersion"];
                if !version.is_null() && *version != lease["metadata"]["resourceVersion"] {
                    return (409, json!({"code": 409, "reason": "Conflict"}));
                }
                let mut spec = lease["spec"].clone();
                for (field, value) in sent["spec"].as_object().unwrap() {
                    spec[field] = value.clone();
                }
                if spec != lease["spec"] {
                    self.put(&spec);
                }
                (200, self.lease.lock().clone().unwrap())
            }
            _ => {
                let details = json!({"kind": "leases", "name": "lease"});
                (404, json!({"code": 404, "reason": "NotFound", "details": details}))
            }
        }
    }

    /// This server, not guarded.
    fn service(&self) -> BoxService<Request<Body>, Response<Body>, BoxError> {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let method = request.method().clone();
                let sent = request.into_body().collect().await?.to_bytes();
                let sent = serde_json::from_slice(&sent).unwrap_or_default();
                let (status, body) = server.respond(&method, &sent);
                let mut status_or_lease = body;
                if status >= 400 {
                    status_or_lease["kind"] = json!("Status");
                    status_or_lease["status"] = json!("Failure");
                }
                let body = Body::from(status_or_lease.to_string().into_bytes());
                Ok::<_, BoxError>(Response::builder().status(status).body(body)?)
            }
        });
        BoxService::new(service)
    }

    fn candidate(&self, holder: &str) -> Candidate {
        let seconds = Arc::clone(&self.seconds);
        let clock: Clock = Arc::new(move || Duration::from_secs(seconds.load(Ordering::SeqCst)));
        let guard = LeaseGuard::new("lease", TTL, Duration::from_secs(2), clock);
        let client = Client::new(guard.layer(self.service()), "ns");
        Candidate { lock: lock(client, holder), guard }
    }
}

struct Candidate {
    lock: LeaseLock,
    guard: LeaseGuard,
}

impl Candidate {
    /// The holder that the crate reports; `None` if it did not acquire or renew the Lease.
    async fn acquire_or_renew(&self) -> Option<String> {
        match self.lock.try_acquire_or_renew().await {
            Ok(LeaseLockResult::Acquired(lease)) => lease.spec?.holder_identity,
            Ok(LeaseLockResult::NotAcquired(_)) | Err(_) => None,
        }
    }
}

fn lock(client: Client, holder: &str) -> LeaseLock {
    let (lease_name, holder_id) = ("lease".to_owned(), holder.to_owned());
    LeaseLock::new(client, "ns", LeaseLockParams { holder_id, lease_name, lease_ttl: TTL })
}

#[tokio::test]
async fn a_lease_is_acquired_renewed_and_released() {
    let server = Server::default();
    server.put(&json!({}));
    let (a, b) = (server.candidate("a"), server.candidate("b"));
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
    assert!(!a.guard.was_released(), "an empty Lease was not released");
    assert_eq!(b.acquire_or_renew().await, None);
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
    a.lock.step_down().await.unwrap();
    assert_eq!(b.acquire_or_renew().await.as_deref(), Some("b"));
    assert!(b.guard.was_released());
}

#[tokio::test]
async fn a_missing_lease_is_created_after_its_duration() {
    let server = Server::default();
    let a = server.candidate("a");
    assert_eq!(a.acquire_or_renew().await, None);
    server.wait(14);
    assert_eq!(a.acquire_or_renew().await, None);
    server.wait(1);
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
}

#[tokio::test]
async fn the_first_candidate_creates_the_lease_at_once() {
    let server = Server::default();
    let a = server.candidate("a");
    assert_eq!(a.acquire_or_renew().await, None);
    assert!(a.guard.has_never_existed() && !a.guard.is_first());
    a.guard.set_first_candidate();
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
    assert!(a.guard.is_first());
}

#[tokio::test]
async fn a_first_candidate_is_one_for_a_single_read() {
    let server = Server::default();
    let (a, b) = (server.candidate("a"), server.candidate("b"));
    a.guard.set_first_candidate();
    server.put(&json!({"holderIdentity": "b"}));
    assert_eq!(a.acquire_or_renew().await, None, "held");
    assert!(!a.guard.is_first() && !a.guard.has_never_existed());
    *server.lease.lock() = None;
    a.guard.set_first_candidate();
    assert_eq!(a.acquire_or_renew().await, None, "it has existed");
    b.guard.set_leading();
    b.guard.set_first_candidate();
    assert_eq!(b.acquire_or_renew().await, None, "a leader is no candidate");
}

#[tokio::test]
async fn a_lease_is_acquired_after_its_duration_without_renewal() {
    let server = Server::default();
    server.put(&json!({"holderIdentity": "gone", "renewTime": "1999-01-01T00:00:00.000000Z"}));
    let b = server.candidate("b");
    for _ in 0..2 {
        assert_eq!(b.acquire_or_renew().await, None, "its renewTime is ignored");
        server.wait(7);
    }
    server.wait(1);
    assert_eq!(b.acquire_or_renew().await.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_lease_of_an_ended_process_is_acquired_at_once() {
    let server = Server::default();
    server.put(&json!({"holderIdentity": "crashed"}));
    let (a, b) = (server.candidate("a"), server.candidate("b"));
    for candidate in [&a, &b] {
        assert_eq!(candidate.acquire_or_renew().await, None);
        candidate.guard.set_holder_ended("crashed");
    }
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
    assert!(a.guard.has_holder_ended() && !a.guard.was_released());
    assert_eq!(b.acquire_or_renew().await, None, "the proof was for the Lease of another");
    a.lock.step_down().await.unwrap();
    assert_eq!(b.acquire_or_renew().await.as_deref(), Some("b"));
    assert!(!b.guard.has_holder_ended());
}

#[tokio::test]
async fn a_proof_is_for_one_holder_one_version_and_one_read() {
    let server = Server::default();
    let held = json!({"holderIdentity": "crashed"});
    server.put(&held);
    let a = server.candidate("a");
    a.guard.set_holder_ended("crashed");
    assert_eq!(a.acquire_or_renew().await, None, "the Lease was not read before");
    a.guard.set_holder_ended("another");
    assert_eq!(a.acquire_or_renew().await, None, "another holder");
    a.guard.set_holder_ended("crashed");
    server.put(&held);
    assert_eq!(a.acquire_or_renew().await, None, "another resourceVersion");
    assert_eq!(a.acquire_or_renew().await, None, "the proof was used");
    a.guard.set_leading();
    a.guard.set_holder_ended("crashed");
    assert_eq!(a.acquire_or_renew().await, None, "a leader is no candidate");
    assert_eq!(server.spec(), held);
}

#[tokio::test]
async fn every_stored_lease_can_be_acquired_in_the_end() {
    let far = "9999-12-31T23:59:59.999999Z";
    for spec in [
        json!({"holderIdentity": "gone"}),
        json!({"holderIdentity": "gone", "renewTime": far, "acquireTime": far}),
        json!({"holderIdentity": "gone", "leaseTransitions": i32::MAX}),
        json!({"holderIdentity": "gone", "leaseDurationSeconds": 1_000_000}),
    ] {
        let server = Server::default();
        server.put(&spec);
        let b = server.candidate("b");
        assert_eq!(b.acquire_or_renew().await, None, "{spec}");
        server.wait(60);
        assert_eq!(b.acquire_or_renew().await.as_deref(), Some("b"), "{spec}");
        assert_eq!(b.acquire_or_renew().await.as_deref(), Some("b"), "{spec}: renewed");
    }
}

#[tokio::test]
async fn of_two_candidates_that_read_one_version_one_acquires() {
    let server = Server::default();
    server.put(&json!({}));
    let (a, b) = (server.candidate("a"), server.candidate("b"));
    // Both read before either writes.
    let read = async |candidate: &Candidate| {
        let request = Request::get("/leases/lease").body(Body::empty()).unwrap();
        let mut guarded = candidate.guard.layer(server.service());
        drop(guarded.call(request).await.unwrap());
    };
    read(&a).await;
    read(&b).await;
    let acquire = async |candidate: &Candidate, holder: &str| {
        let patch = json!({"spec": {"holderIdentity": holder}}).to_string().into_bytes();
        let request = Request::patch("/leases/lease").body(Body::from(patch)).unwrap();
        let mut guarded = candidate.guard.layer(server.service());
        guarded.call(request).await.unwrap().status()
    };
    assert_eq!(acquire(&a, "a").await, StatusCode::OK);
    assert_eq!(acquire(&b, "b").await, StatusCode::CONFLICT);
    assert_eq!(server.spec()["holderIdentity"], "a");
}

#[tokio::test]
async fn each_write_needs_a_read_before_it() {
    let server = Server::default();
    server.put(&json!({}));
    let a = server.candidate("a");
    assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
    for (method, expected) in [
        (Method::PATCH, Error::NotRead),
        (Method::POST, Error::NotRead),
        (Method::PUT, Error::UnsupportedMethod(Method::PUT)),
        (Method::DELETE, Error::UnsupportedMethod(Method::DELETE)),
    ] {
        let request = Request::builder().method(method).uri("/x").body(Body::empty()).unwrap();
        let refused = a.guard.layer(server.service()).call(request).await.unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&expected));
    }
}

#[tokio::test]
async fn a_renewal_that_changes_nothing_is_an_error() {
    let server = Server::default();
    server.put(&json!({"holderIdentity": "a", "renewTime": "x"}));
    let a = server.candidate("a");
    let mut guarded = a.guard.layer(server.service());
    let read = Request::get("/leases/lease").body(Body::empty()).unwrap();
    drop(guarded.call(read).await.unwrap());
    let patch = json!({"spec": {"renewTime": "x"}}).to_string().into_bytes();
    let patch = Request::patch("/leases/lease").body(Body::from(patch)).unwrap();
    let error = guarded.call(patch).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Error::NotRenewed));
}

#[tokio::test]
async fn a_leader_never_acquires_a_lost_lease_again() {
    for spec in [None, Some(json!({})), Some(json!({"holderIdentity": "b"}))] {
        let server = Server::default();
        server.put(&json!({}));
        let a = server.candidate("a");
        assert_eq!(a.acquire_or_renew().await.as_deref(), Some("a"));
        a.guard.set_leading();
        match &spec {
            Some(spec) => server.put(spec),
            None => *server.lease.lock() = None,
        }
        server.wait(100);
        assert_eq!(a.acquire_or_renew().await, None, "{spec:?}");
        assert_eq!(server.spec(), spec.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_404_that_does_not_name_the_lease_is_an_error() {
    let proxy = service_fn(|_: Request<Body>| async {
        let body = Body::from(br#"{"code":404,"details":{}}"#.to_vec());
        Ok::<_, BoxError>(Response::builder().status(404).body(body)?)
    });
    let guard = Server::default().candidate("a").guard;
    let request = Request::get("/leases/lease").body(Body::empty()).unwrap();
    let error = guard.layer(proxy).call(request).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Error::UnexpectedResponse(StatusCode::NOT_FOUND)));
}

#[tokio::test]
async fn a_write_has_a_timeout_and_a_precondition() {
    let server = Server::default();
    server.put(&json!({}));
    let guard = server.candidate("a").guard;
    let read = Request::get("/leases/lease").body(Body::empty()).unwrap();
    drop(guard.layer(server.service()).call(read).await.unwrap());
    let patch = Request::patch("/leases/lease?fieldManager=a").body(Body::from(b"{}".to_vec()));
    let (patch, version) = guard.with_precondition(patch.unwrap()).unwrap();
    assert_eq!(patch.uri(), "/leases/lease?fieldManager=a&timeout=2000ms");
    assert_eq!(version.as_deref(), Some("1"));
}
