//! Which requests fail, and how.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use serde_json::json;

use crate::fault_proxy::hold::Hold;
use crate::fault_proxy::observed_request::Request;

/// What befalls a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is closed, and the API server never sees the request.
    Cut,
    /// The API server answers; then the connection is closed, and the answer is lost.
    LoseResponse,
    /// The API server answers, and half of what it sent arrives, as if that were all.
    TruncateResponse,
    /// It reaches the API server later.
    Delay(Duration),
    /// This is answered, and the API server never sees the request.
    Respond(CannedResponse),
    /// It waits before the API server has seen it.
    HoldBefore(Hold),
    /// It waits after the API server has answered.
    HoldAfter(Hold),
}

/// An answer that does not come from the API server.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// What is sent.
    pub body: String,
}

/// One rule: which requests, which of those, and what befalls them.
pub struct Rule {
    fault: Fault,
    conditions: Vec<Condition>,
    skip: usize,
    times: usize,
}

type Condition = Box<dyn Fn(&Request) -> bool + Send + Sync>;

impl Fault {
    /// A few words for a person.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut => "cut before it was sent",
            Self::LoseResponse => "answer lost",
            Self::TruncateResponse => "answer truncated",
            Self::Delay(_) => "delayed",
            Self::Respond(_) => "answered by the proxy",
            Self::HoldBefore(_) => "held before it was sent",
            Self::HoldAfter(_) => "held after it was answered",
        }
    }
}

impl CannedResponse {
    /// A failure as the API server words it: 409 `Conflict`, 429 `TooManyRequests`, 500, 503, 504.
    #[must_use]
    pub fn failure(status: u16) -> Self {
        let reason = match status {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "Unknown",
        };
        let body: Value = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("the fault proxy answers {status}"),
            "reason": reason,
            "code": status,
        });
        Self { status, retry_after: None, body: body.to_string() }
    }

    /// 429 and `Retry-After`, as priority and fairness answers: in a header, beside plain text.
    #[must_use]
    pub fn too_many_requests(seconds: u32) -> Self {
        let body = "Too many requests, please try again later.\n".to_owned();
        Self { status: 429, retry_after: Some(seconds), body }
    }

    /// The same failure with `Retry-After`, as the rest of the API server says it: in a header
    /// and in the answer.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        if let Ok(mut status) = serde_json::from_str::<Value>(&self.body) {
            status["details"]["retryAfterSeconds"] = seconds.into();
            self.body = status.to_string();
        }
        self
    }
}

impl Rule {
    /// The next request, whatever it is.
    #[must_use]
    pub const fn new(fault: Fault) -> Self {
        Self { fault, conditions: Vec::new(), skip: 0, times: 1 }
    }

    /// Only requests of which this is true, too.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Box::new(condition));
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        self.when(move |request| request.method == method)
    }

    /// Only requests about this resource (a plural, such as `configmaps`).
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        let resource = resource.to_owned();
        self.when(move |request| request.resource() == resource)
    }

    /// Only requests whose path contains this.
    #[must_use]
    pub fn path_contains(self, text: &str) -> Self {
        let text = text.to_owned();
        self.when(move |request| request.path.contains(&text))
    }

    /// Not the first of them but the n-th, counted from 0.
    #[must_use]
    pub const fn nth(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// So many of them, one after the other, instead of one.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// All of them, from the first or the n-th on.
    #[must_use]
    pub const fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// What it says about a request, having counted it.
    pub(super) fn apply(&mut self, request: &Request) -> Option<Fault> {
        if !self.conditions.iter().all(|condition| condition(request)) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hyper::body::Bytes;

    use super::*;

    fn request(method: Method, path: &str) -> Request {
        let (path, query, body) = (path.to_owned(), String::new(), Bytes::new());
        let arrived = Instant::now();
        Request { number: 0, arrived, method, path, query, body, status: None, fault: None }
    }

    #[test]
    fn a_rule_applies_to_the_nth_request_that_fits_and_to_no_other() {
        let mut rule = Rule::new(Fault::Cut).method(Method::POST).resource("configmaps").nth(1);
        let other = request(Method::GET, "/api/v1/namespaces/a/configmaps/b");
        let fits = request(Method::POST, "/api/v1/namespaces/a/configmaps");
        let asked = [&other, &fits, &other, &fits, &fits];
        let applied: Vec<_> = asked.iter().map(|it| rule.apply(it).is_some()).collect();
        assert_eq!(applied, [false, false, false, true, false]);
    }

    #[test]
    fn a_rule_may_apply_for_ever() {
        let mut rule = Rule::new(Fault::Cut).nth(1).always();
        let any = request(Method::GET, "/version");
        let applied: Vec<_> = (0..4).map(|_| rule.apply(&any).is_some()).collect();
        assert_eq!(applied, [false, true, true, true]);
    }
}
