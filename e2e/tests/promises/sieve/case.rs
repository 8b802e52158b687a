//! Every fault that a scenario is run with, made from the run without faults.

use std::collections::BTreeMap;
use std::fmt;

use e2e::fault_proxy::Request;

/// What the run without faults was like.
pub struct Plain {
    /// How the names of its namespaces began.
    pub prefix: String,
    /// What the operator asked, in order.
    pub requests: Vec<Request>,
    /// How many events it was told, by resource.
    pub events: BTreeMap<String, usize>,
    /// How it ended.
    pub state: String,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    KillBefore,
    KillAfter,
    LoseAnswer,
}

/// One run with a fault.
pub enum Case {
    /// To the n-th request, which is usually this one.
    Request { n: usize, usually: String, blow: Blow },
    /// The watch of this resource lags behind by so many events.
    Lag { resource: String, events: usize },
}

/// All of them.
pub fn all(plain: &Plain) -> Vec<Case> {
    let blows = [Blow::KillBefore, Blow::KillAfter, Blow::LoseAnswer];
    let requests = plain.requests.iter().enumerate().flat_map(|(n, request)| {
        let usually = format!("{} {}", request.method, request.path.replace(&plain.prefix, ""));
        blows.map(|blow| Case::Request { n, usually: usually.clone(), blow })
    });
    let lags = plain.events.iter().flat_map(|(resource, count)| {
        (1..=*count).map(|events| Case::Lag { resource: resource.clone(), events })
    });
    requests.chain(lags).collect()
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillBefore => "killed before it was sent",
            Self::KillAfter => "killed after it was committed",
            Self::LoseAnswer => "answer lost",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { n, usually, blow } => write!(f, "{n} | {usually} | {blow}"),
            Self::Lag { resource, events } => write!(f, "- | watch {resource} | lags by {events}"),
        }
    }
}
