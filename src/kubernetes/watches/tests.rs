use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use http::Request;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::service_fn;

use super::*;
use crate::api::metadata::MetadataOnly;
use crate::kubernetes::clients::Clients;

/// Less than the first delay, which is a second with jitter.
const DELAYED: Duration = Duration::from_millis(750);
const DEADLINE: Duration = Duration::from_mins(1);

/// The response to one request.
#[derive(Clone)]
struct Answer {
    code: u16,
    body: String,
    /// Whether the response does not end.
    stays_open: bool,
}

/// An API server that responds with the given answers, and then not at all.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<(String, Instant)>>>,
}

fn answer(code: u16, body: &str) -> Answer {
    Answer { code, body: body.to_owned(), stays_open: false }
}

fn open(lines: &str) -> Answer {
    Answer { stays_open: true, ..answer(200, lines) }
}

/// A page with one object; the last one if `token` is empty.
fn page(name: &str, token: &str) -> Answer {
    let item = format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"1"}}}}"#);
    let metadata = format!(r#"{{"resourceVersion":"5","continue":"{token}"}}"#);
    answer(200, &format!(r#"{{"metadata":{metadata},"items":[{item}]}}"#))
}

fn line(kind: &str, name: &str, version: &str) -> String {
    let types = r#""kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1""#;
    let metadata = format!(r#"{{"name":"{name}","resourceVersion":"{version}"}}"#);
    format!("{{\"type\":\"{kind}\",\"object\":{{{types},\"metadata\":{metadata}}}}}\n")
}

fn status(code: u16) -> String {
    let kind = r#""kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure""#;
    format!(r#"{{{kind},"message":"refused","code":{code}}}"#)
}

fn error_line(code: u16) -> String {
    format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(code))
}

// === impl Server ===

impl Server {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, ..Self::default() }
    }

    fn clients(&self) -> Clients {
        let server = self.clone();
        let serve = service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
            let what = match (value("resourceVersion="), value("continue=")) {
                (Some(version), _) => format!("changes {version}"),
                (None, Some(token)) => format!("list {token}"),
                (None, None) => "list".to_owned(),
            };
            server.requests.lock().push((what, Instant::now()));
            let answer = server.answers.lock().pop_front();
            async move {
                let Some(answer) = answer else { return std::future::pending().await };
                let frame = Frame::data(Bytes::from(answer.body));
                let frames = stream::iter([Ok::<_, Infallible>(frame)]);
                let rest = stream::pending().take(usize::from(answer.stays_open));
                let body = StreamBody::new(frames.chain(rest));
                Response::builder().status(answer.code).body(body)
            }
        });
        let client = Client::new(serve, "default");
        Clients { calls: client.clone(), watches: client }
    }

    /// Watches until there have been `count` requests. Returns these, with the pause before each,
    /// and the events as text.
    async fn watch(&self, count: usize) -> (Vec<(String, Duration)>, Vec<String>) {
        let source = Source::metadata::<ConfigMap>(self.clients(), None);
        let mut events = Vec::new();
        let watching = watch(&source, |event| events.push(text(event)));
        let requested = async {
            while self.requests.lock().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            never = watching => match never {},
            () = requested => {}
            () = sleep(DEADLINE) => panic!("timed out after {DEADLINE:?}: {:?}", self.requests),
        }
        events.retain(|event| event != "waiting");
        let mut last = None;
        let requests = std::mem::take(&mut *self.requests.lock());
        let requests = requests.into_iter().map(|(what, at)| {
            let pause = at - last.replace(at).unwrap_or(at);
            (what, pause)
        });
        (requests.collect(), events)
    }
}

fn text(event: Event<MetadataOnly>) -> String {
    let name = |object: MetadataOnly| object.metadata.name.unwrap_or_default();
    match event {
        Event::Change(Change::ListBegun) => "list".to_owned(),
        Event::Change(Change::Listed(object)) => format!("listed {}", name(object)),
        Event::Change(Change::ListComplete) => "complete".to_owned(),
        Event::Change(Change::Applied(object)) => format!("applied {}", name(object)),
        Event::Change(Change::Deleted(object)) => format!("deleted {}", name(object)),
        Event::Bookmark => "bookmark".to_owned(),
        Event::Established => "established".to_owned(),
        Event::Failed(error) => format!("failed: {error}"),
        Event::Waiting => "waiting".to_owned(),
    }
}

#[tokio::test]
async fn a_list_is_followed_by_its_changes() {
    let changes = [
        line("ADDED", "c", "6"),
        line("MODIFIED", "a", "7"),
        line("DELETED", "b", "8"),
        line("BOOKMARK", "", "9"),
    ];
    let answers = [page("a", "second"), page("b", ""), answer(200, &changes.concat())];
    let (requests, events) = Server::new(answers).watch(4).await;
    let requests: Vec<_> = requests.into_iter().map(|(what, _)| what).collect();
    assert_eq!(requests, ["list", "list second", "changes 5", "changes 9"]);
    let listed = ["list", "listed a", "listed b", "complete", "established"];
    let followed = ["applied c", "applied a", "deleted b", "bookmark"];
    assert_eq!(events, [listed.as_slice(), followed.as_slice()].concat());
}

const HTML: &str = "<html>\n<head>\n<title>503</title>\n</head>\n<body>\nno\n</body></html>\n";
const NO_STATUS: &str = "no Status in the response";
const UNREADABLE: &str = "not from an API server";

/// What is reported for each response, and whether it lists again.
fn failures() -> Vec<(Answer, &'static str, bool)> {
    vec![
        (answer(410, &status(410)), "refused", true),
        (answer(410, &status(0)), "refused", true),
        (answer(410, ""), "HTTP 410", true),
        (answer(410, HTML), NO_STATUS, true),
        (answer(503, HTML), NO_STATUS, false),
        (answer(503, &status(503)), "refused", false),
        (answer(500, ""), "HTTP 500", false),
        (answer(403, &status(403)), "refused", false),
        (answer(404, "404 page not found\n"), "404 page not found", false),
        (answer(302, ""), "HTTP 302", false),
        (answer(502, &"x".repeat(10_000)), NO_STATUS, false),
        (answer(200, HTML), UNREADABLE, false),
    ]
}

#[tokio::test]
async fn a_failed_watch_is_retried_where_it_was() {
    let truncated = line("ADDED", "b", "6");
    let mut rows = failures();
    rows.extend([
        (answer(200, ""), "ended without an event", false),
        (answer(200, "\n\n"), "ended without an event", false),
        (answer(200, &truncated[..truncated.len() / 2]), "ended without an event", false),
        (open(&error_line(410)), "refused", true),
        (open(&error_line(500)), "refused", false),
        (open("{}\n"), UNREADABLE, false),
        (open(&line("ADDED", "b", "")), "no resourceVersion", false),
        (open(&line("OTHER", "b", "6")), UNREADABLE, false),
    ]);
    let check = async |(answer, message, lists): (Answer, &str, bool)| {
        let (requests, events) = Server::new([page("a", ""), answer]).watch(3).await;
        let (next, pause) = &requests[2];
        assert_eq!(next, if lists { "list" } else { "changes 5" }, "{message}");
        assert!(lists || *pause > DELAYED, "{message}: {pause:?}");
        let failed = &events[4];
        assert!(failed.starts_with("failed: ") && failed.contains(message), "{events:?}");
        assert!(failed.len() < 300, "{failed}");
    };
    join_all(rows.into_iter().map(check)).await;
}

#[tokio::test]
async fn a_failed_list_is_retried_at_its_page() {
    let mut rows = failures();
    let half = page("b", "").body;
    rows.extend([
        (answer(200, ""), UNREADABLE, false),
        (answer(200, &half[..half.len() / 2]), UNREADABLE, false),
        (answer(200, "{}"), UNREADABLE, false),
        (answer(200, r#"{"metadata":{},"items":[]}"#), "no resourceVersion", false),
    ]);
    let check = async |(answer, message, lists): (Answer, &str, bool)| {
        let (requests, events) = Server::new([page("a", "second"), answer]).watch(3).await;
        let (next, pause) = &requests[2];
        assert_eq!(next, if lists { "list" } else { "list second" }, "{message}");
        assert!(lists || *pause > DELAYED, "{message}: {pause:?}");
        assert!(events[2].contains(message), "{events:?}");
        assert!(!events.contains(&"complete".to_owned()), "{events:?}");
    };
    join_all(rows.into_iter().map(check)).await;
}

#[tokio::test]
async fn a_repeated_410_waits() {
    let expired = || answer(410, &status(410));
    let (requests, events) =
        Server::new([page("a", ""), expired(), page("a", ""), expired()]).watch(5).await;
    assert_eq!(requests[4].0, "list");
    assert!(requests[4].1 > DELAYED, "{requests:?}");
    let established = events.iter().filter(|event| *event == "established");
    assert_eq!(established.count(), 1, "not by a list after a failure: {events:?}");
}

#[tokio::test]
async fn delays_grow_until_a_success() {
    let refused = || answer(503, &status(503));
    let fed = || answer(200, &line("BOOKMARK", "", "6"));
    let answers = [page("a", ""), refused(), refused(), fed(), refused()];
    let (requests, _) = Server::new(answers).watch(6).await;
    let pauses: Vec<_> = requests.into_iter().map(|(_, pause)| pause).collect();
    assert!(pauses[3] > 2 * DELAYED, "{pauses:?}");
    assert!(pauses[4] > DELAYED, "short even if it had an event: {pauses:?}");
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let details = r#""status":"Failure","details":{"retryAfterSeconds":3},"code":429"#;
    let busy = answer(429, &format!(r#"{{"kind":"Status",{details}}}"#));
    let (requests, _) = Server::new([page("a", ""), busy]).watch(3).await;
    assert!(requests[2].1 >= Duration::from_secs(3), "{requests:?}");
}

#[tokio::test]
async fn a_silent_watch_is_established_and_shows_that_it_waits() {
    let server = Server::new([page("a", ""), answer(500, ""), open("")]);
    let source = Source::metadata::<ConfigMap>(server.clients(), None);
    let mut events = Vec::new();
    let watching = watch(&source, |event| events.push(text(event)));
    assert!(timeout(2 * TICK, watching).await.is_err());
    let after = events.iter().skip_while(|event| !event.starts_with("failed"));
    let after: Vec<_> = after.skip(1).collect();
    assert_eq!(after[..2], ["established", "waiting"], "{events:?}");
}
