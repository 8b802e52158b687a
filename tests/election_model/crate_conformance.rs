//! Compares the model of the crate with the crate itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::json;
use tower::service_fn;

use crate::guard::LeaseView;
use crate::state::Operation;

const PAST: &str = "2000-01-01T00:00:00.000000Z";
const FUTURE: &str = "9000-01-01T00:00:00.000000Z";

fn lease(holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lease", "namespace": "default", "resourceVersion": "7"},
        "spec": {
            "acquireTime": renewed,
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "leaseTransitions": 1,
            "renewTime": renewed,
        },
    })
}

/// The requests that change something: method and body.
type Changes = Arc<Mutex<Vec<(Method, Value)>>>;

/// The crate, with a server that has this Lease, and the crate's requests that change something.
/// The response to each is a Lease that another process holds.
fn crate_reading(found: Option<Value>) -> (LeaseLock, Changes) {
    let changes = Changes::default();
    let recorded = Arc::clone(&changes);
    let server = service_fn(move |request: Request<Body>| {
        let (found, recorded) = (found.clone(), Arc::clone(&recorded));
        async move {
            let (head, body) = request.into_parts();
            let not_found = json!({"kind": "Status", "code": 404, "reason": "NotFound"});
            let (status, object) = if head.method == Method::GET {
                found.map_or((404, not_found), |lease| (200, lease))
            } else {
                let body = body.collect().await.expect("the body is in memory").to_bytes();
                let body = serde_json::from_slice(&body).expect("the body is JSON");
                recorded.lock().push((head.method, body));
                (200, lease("other", FUTURE))
            };
            let body = Body::from(object.to_string().into_bytes());
            let response = Response::builder().status(status).body(body);
            Ok::<_, Infallible>(response.expect("the response is complete"))
        }
    });
    let params = LeaseLockParams {
        holder_id: "ours".to_owned(),
        lease_name: "lease".to_owned(),
        lease_ttl: Duration::from_secs(15),
    };
    (LeaseLock::new(Client::new(server, "default"), "default", params), changes)
}

fn change(changes: &Changes) -> Option<Operation> {
    let changes = changes.lock();
    assert!(changes.len() <= 1, "{changes:?}");
    let (method, body) = changes.first()?;
    assert!(body["metadata"]["resourceVersion"].is_null(), "{body}");
    Some(match (method, body["spec"]["holderIdentity"].as_str()) {
        (&Method::POST, Some("ours")) => Operation::Create,
        (&Method::PATCH, Some("ours")) => Operation::Acquire { was_released: false },
        (&Method::PATCH, None) => Operation::Renew,
        (&Method::PATCH, Some("")) => Operation::Release,
        _ => panic!("{method} {body}"),
    })
}

#[tokio::test]
async fn the_crate_sends_the_modelled_requests_unconditionally() {
    for (view, found) in [
        (LeaseView::Missing, None),
        (LeaseView::Ours, Some(lease("ours", PAST))),
        (LeaseView::Ours, Some(lease("ours", FUTURE))),
        (LeaseView::Free, Some(lease("other", PAST))),
        (LeaseView::Free, Some(lease("", PAST))),
        (LeaseView::Held, Some(lease("other", FUTURE))),
        (LeaseView::Held, Some(lease("", FUTURE))),
    ] {
        let (lock, changes) = crate_reading(found.clone());
        let result = lock.try_acquire_or_renew().await.expect("the server responds");
        assert_eq!(change(&changes), view.operation(false), "{found:?}");
        let is_acquired = matches!(result, LeaseLockResult::Acquired(_));
        assert_eq!(
            is_acquired,
            view != LeaseView::Held,
            "with another holder in the response: {found:?}"
        );
    }
}

#[tokio::test]
async fn the_crate_releases_only_its_own_lease() {
    for (found, released) in [("ours", Some(Operation::Release)), ("other", None), ("", None)] {
        let (lock, changes) = crate_reading(Some(lease(found, FUTURE)));
        assert_eq!(lock.step_down().await.is_ok(), released.is_some());
        assert_eq!(change(&changes), released, "{found}");
    }
}
