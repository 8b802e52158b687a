//! What the model tells of the crate, held against the crate.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
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
use serde_json::Value;
use serde_json::json;
use tower::service_fn;

use crate::guard::Shown;
use crate::world::Ask;

const LONG_AGO: &str = "2000-01-01T00:00:00.000000Z";
const NOT_YET: &str = "9000-01-01T00:00:00.000000Z";

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

/// Requests that change something: how, and what was sent.
type Changes = Arc<Mutex<Vec<(Method, Value)>>>;

/// The crate, and every request of it that changes something. Each is answered with a Lease that
/// somebody else holds.
fn crate_that_finds(found: Option<Value>) -> (LeaseLock, Changes) {
    let changes = Changes::default();
    let noted = Arc::clone(&changes);
    let server = service_fn(move |request: Request<Body>| {
        let (found, noted) = (found.clone(), Arc::clone(&noted));
        async move {
            let (head, body) = request.into_parts();
            let not_found = json!({"kind": "Status", "code": 404, "reason": "NotFound"});
            let (status, answer) = if head.method == Method::GET {
                found.map_or((404, not_found), |lease| (200, lease))
            } else {
                let body = body.collect().await.expect("it is in memory").to_bytes();
                let body = serde_json::from_slice(&body).expect("it is JSON");
                noted.lock().expect("nobody panics").push((head.method, body));
                (200, lease("somebody else", NOT_YET))
            };
            let answer = Body::from(answer.to_string().into_bytes());
            let answer = Response::builder().status(status).body(answer);
            Ok::<_, Infallible>(answer.expect("it is whole"))
        }
    });
    let params = LeaseLockParams {
        holder_id: "we".to_owned(),
        lease_name: "lease".to_owned(),
        lease_ttl: Duration::from_secs(15),
    };
    (LeaseLock::new(Client::new(server, "default"), "default", params), changes)
}

fn what(changes: &Changes) -> Option<Ask> {
    let changes = changes.lock().expect("nobody panics");
    assert!(changes.len() <= 1, "{changes:?}");
    let (method, body) = changes.first()?;
    assert!(body["metadata"]["resourceVersion"].is_null(), "{body}");
    Some(match (method, body["spec"]["holderIdentity"].as_str()) {
        (&Method::POST, Some("we")) => Ask::Create,
        (&Method::PATCH, Some("we")) => Ask::Acquire { was_released: false },
        (&Method::PATCH, None) => Ask::Renew,
        (&Method::PATCH, Some("")) => Ask::Release,
        _ => panic!("{method} {body}"),
    })
}

#[tokio::test]
async fn it_asks_for_what_it_is_told_to_ask_for_and_for_no_version() {
    for (shown, found) in [
        (Shown::Absent, None),
        (Shown::Ours, Some(lease("we", LONG_AGO))),
        (Shown::Ours, Some(lease("we", NOT_YET))),
        (Shown::Free, Some(lease("somebody else", LONG_AGO))),
        (Shown::Free, Some(lease("", LONG_AGO))),
        (Shown::Held, Some(lease("somebody else", NOT_YET))),
        (Shown::Held, Some(lease("", NOT_YET))),
    ] {
        let (lock, changes) = crate_that_finds(found.clone());
        let result = lock.try_acquire_or_renew().await.expect("it is answered");
        assert_eq!(what(&changes), shown.ask(false), "{found:?}");
        let is_acquired = matches!(result, LeaseLockResult::Acquired(_));
        assert_eq!(is_acquired, shown != Shown::Held, "whatever the answer says: {found:?}");
    }
}

#[tokio::test]
async fn it_releases_what_it_finds_its_own() {
    for (found, released) in [("we", Some(Ask::Release)), ("somebody else", None), ("", None)] {
        let (lock, changes) = crate_that_finds(Some(lease(found, NOT_YET)));
        assert_eq!(lock.step_down().await.is_ok(), released.is_some());
        assert_eq!(what(&changes), released, "{found}");
    }
}
