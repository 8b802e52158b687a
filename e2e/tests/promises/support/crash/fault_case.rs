//! Every fault that a scenario is run with, made from the run without faults.

use std::collections::BTreeMap;
use std::fmt;

use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use http::Method;

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
    LoseResponse,
    Freeze,
}

/// One run with a fault.
pub enum Case {
    /// To one request.
    Request { which: Which, blow: Blow },
    /// The watch of this resource lags behind by so many events.
    Lag { resource: String, events: usize },
}

/// A request as it can be told in every run: requests that are sent at the same time come in any
/// order, so its place among all of them does not tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    method: Method,
    /// Without the prefix of the place.
    path: String,
    /// How many with this method and path came before it.
    earlier: usize,
}

/// All of them.
pub fn all(plain: &Plain) -> Vec<Case> {
    let blows = [Blow::KillBefore, Blow::KillAfter, Blow::LoseResponse, Blow::Freeze];
    let requests = (0..plain.requests.len()).flat_map(|n| {
        let which = Which::of(plain, n);
        blows.map(|blow| Case::Request { which: which.clone(), blow })
    });
    let lags = plain.events.iter().flat_map(|(resource, count)| {
        (1..=*count).map(|events| Case::Lag { resource: resource.clone(), events })
    });
    requests.chain(lags).collect()
}

impl Which {
    fn of(plain: &Plain, n: usize) -> Self {
        let request = &plain.requests[n];
        let is_like_it = |it: &&Request| it.method == request.method && it.path == request.path;
        Self {
            method: request.method.clone(),
            path: request.path.replace(&plain.prefix, ""),
            earlier: plain.requests[..n].iter().filter(is_like_it).count(),
        }
    }

    /// The rule that strikes it in the place with this prefix.
    pub fn rule(&self, fault: Fault, prefix: &str) -> Rule {
        let (path, prefix) = (self.path.clone(), prefix.to_owned());
        let is_it =
            move |it: &Request| is_about(it, &prefix) && it.path.replace(&prefix, "") == path;
        Rule::new(fault).method(self.method.clone()).when(is_it).nth(self.earlier)
    }
}

/// Whether the operator asked it about the place with this prefix, and not as a watch.
pub fn is_about(request: &Request, prefix: &str) -> bool {
    request.namespace().starts_with(prefix) && !request.is_watch()
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if self.earlier > 0 {
            write!(f, " (after {} like it)", self.earlier)?;
        }
        Ok(())
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillBefore => "killed before it was sent",
            Self::KillAfter => "killed after it was committed",
            Self::LoseResponse => "answer lost",
            Self::Freeze => "frozen until another has done it",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { which, blow } => write!(f, "{which} | {blow}"),
            Self::Lag { resource, events } => write!(f, "watch {resource} | lags by {events}"),
        }
    }
}
