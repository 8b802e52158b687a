//! The faults that a scenario is run with, derived from its run without faults.

use std::collections::BTreeMap;
use std::fmt;

use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use http::Method;
use serde_json::Value;

/// The record of a run without faults.
pub struct Faultless {
    /// The prefix of its namespaces.
    pub prefix: String,
    /// The operator's requests, in order.
    pub requests: Vec<Request>,
    /// The number of watch events, by resource.
    pub events: BTreeMap<String, usize>,
    /// The final state.
    pub state: String,
}

/// A fault at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The leader is killed before the request is sent.
    KillBefore,
    /// The leader is killed after the request was committed.
    KillAfter,
    /// The response is lost.
    LoseResponse,
    /// The leader is frozen before the request is sent, until another replica has finished.
    Freeze,
}

/// One run with a fault.
pub enum Case {
    /// A fault at one request.
    Request { key: RequestKey, fault: RequestFault },
    /// The watch of `resource` is late by `events` events.
    Lag { resource: String, events: usize },
}

/// Identifies a request across runs. The position among all requests would not, since concurrent
/// requests arrive in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    method: Method,
    /// What it is about, without the prefix of the namespaces.
    subject: String,
    /// The number of earlier requests with this method and subject.
    earlier: usize,
}

/// All cases for the requests and events of the run without faults.
pub fn all(faultless: &Faultless) -> Vec<Case> {
    let faults = [
        RequestFault::KillBefore,
        RequestFault::KillAfter,
        RequestFault::LoseResponse,
        RequestFault::Freeze,
    ];
    let requests = (0..faultless.requests.len()).flat_map(|n| {
        let key = RequestKey::of(faultless, n);
        faults.map(|fault| Case::Request { key: key.clone(), fault })
    });
    let lags = faultless.events.iter().flat_map(|(resource, count)| {
        (1..=*count).map(|events| Case::Lag { resource: resource.clone(), events })
    });
    requests.chain(lags).collect()
}

impl RequestKey {
    /// The key of the `n`-th request of the run without faults.
    pub fn of(faultless: &Faultless, n: usize) -> Self {
        let request = &faultless.requests[n];
        let is_like_it =
            |it: &&Request| it.method == request.method && subject(it) == subject(request);
        Self {
            method: request.method.clone(),
            subject: subject(request).replace(&faultless.prefix, ""),
            earlier: faultless.requests[..n].iter().filter(is_like_it).count(),
        }
    }

    /// A rule of the fault proxy that injects `fault` at this request, in namespaces with `prefix`.
    pub fn rule(&self, fault: Fault, prefix: &str) -> Rule {
        let (wanted, prefix) = (self.subject.clone(), prefix.to_owned());
        let is_it =
            move |it: &Request| is_about(it, &prefix) && subject(it).replace(&prefix, "") == wanted;
        Rule::new(fault).method(self.method.clone()).when(is_it).nth(self.earlier)
    }
}

/// Whether the request is in a namespace with `prefix`, or reviews a permission there, and is no watch.
pub fn is_about(request: &Request, prefix: &str) -> bool {
    let namespace = match reviewed(request) {
        Some(attributes) => attributes["namespace"].as_str().unwrap_or_default().to_owned(),
        None => request.namespace().to_owned(),
    };
    namespace.starts_with(prefix) && !request.is_watch()
}

/// The path; for a review, with the verb and the namespace that it is about.
pub fn subject(request: &Request) -> String {
    let path = &request.path;
    let Some(attributes) = reviewed(request) else { return path.clone() };
    let text = |name: &str| attributes[name].as_str().unwrap_or_default().to_owned();
    format!("{path} ({} in {})", text("verb"), text("namespace"))
}

/// The permission that a `SubjectAccessReview` is about.
pub fn reviewed(request: &Request) -> Option<Value> {
    if request.resource() != "subjectaccessreviews" {
        return None;
    }
    let mut body: Value = serde_json::from_slice(&request.body).ok()?;
    Some(body["spec"]["resourceAttributes"].take())
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.subject)?;
        if self.earlier > 0 {
            write!(f, " (after {} equal ones)", self.earlier)?;
        }
        Ok(())
    }
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillBefore => "leader killed before the request was sent",
            Self::KillAfter => "leader killed after the request was committed",
            Self::LoseResponse => "response lost",
            Self::Freeze => "leader frozen until another replica has finished",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { key, fault } => write!(f, "{key} | {fault}"),
            Self::Lag { resource, events } => write!(f, "watch {resource} | {events} events late"),
        }
    }
}
