//! Rules: which requests get which fault.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use serde_json::json;

use crate::fault_proxy::hold::Hold;
use crate::fault_proxy::observed_request::Request;

/// A fault of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is closed before the request is sent to the API server.
    Cut,
    /// The API server handles the request; then the connection is closed without its response.
    LoseResponse,
    /// Half of the response body is sent to the replica, as if it were complete.
    TruncateResponse,
    /// The request is sent to the API server after this delay.
    Delay(Duration),
    /// The proxy responds itself; the request is not sent to the API server.
    Respond(CannedResponse),
    /// The request waits before it is sent to the API server.
    HoldBefore(Hold),
    /// The response waits before it is sent to the replica.
    HoldAfter(Hold),
}

/// A response of the proxy itself.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The body.
    pub body: String,
}

/// A rule: the requests that it matches, how many of those it skips and applies to, and the fault.
pub struct Rule {
    fault: Fault,
    conditions: Vec<Condition>,
    skip: usize,
    times: usize,
}

type Condition = Box<dyn Fn(&Request) -> bool + Send + Sync>;

impl Fault {
    /// A short description.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut => "cut before sending",
            Self::LoseResponse => "response lost",
            Self::TruncateResponse => "response truncated",
            Self::Delay(_) => "delayed",
            Self::Respond(_) => "response of the proxy",
            Self::HoldBefore(_) => "request held",
            Self::HoldAfter(_) => "response held",
        }
    }
}

impl CannedResponse {
    /// A `Status` with this code and its usual reason, as the API server sends it.
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
            "message": format!("the fault proxy responds with {status}"),
            "reason": reason,
            "code": status,
        });
        Self { status, retry_after: None, body: body.to_string() }
    }

    /// 429 with the header `Retry-After` and a plain text body, as API priority and fairness sends it.
    #[must_use]
    pub fn too_many_requests(seconds: u32) -> Self {
        let body = "Too many requests, please try again later.\n".to_owned();
        Self { status: 429, retry_after: Some(seconds), body }
    }

    /// Adds `Retry-After` in the header and in the `Status`, as the rest of the API server sends it.
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
    /// Applies to the next request. The other methods restrict and extend that.
    #[must_use]
    pub const fn new(fault: Fault) -> Self {
        Self { fault, conditions: Vec::new(), skip: 0, times: 1 }
    }

    /// Only requests for which `condition` is true; several conditions must all be.
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

    /// Only requests for this resource (a plural name, such as `configmaps`).
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        let resource = resource.to_owned();
        self.when(move |request| request.resource() == resource)
    }

    /// Only requests whose path contains `text`.
    #[must_use]
    pub fn path_contains(self, text: &str) -> Self {
        let text = text.to_owned();
        self.when(move |request| request.path.contains(&text))
    }

    /// Skips the first `n` matching requests.
    #[must_use]
    pub const fn nth(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// Applies to this many matching requests instead of one.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Applies to all matching requests that are not skipped.
    #[must_use]
    pub const fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// Counts a request, and returns the fault if the rule applies to it.
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
        Request {
            number: 0,
            arrived: Instant::now(),
            method,
            path: path.to_owned(),
            query: String::new(),
            traceparent: None,
            body: Bytes::new(),
            status: None,
            fault: None,
        }
    }

    #[test]
    fn a_rule_applies_to_the_nth_matching_request_only() {
        let mut rule = Rule::new(Fault::Cut).method(Method::POST).resource("configmaps").nth(1);
        let other = request(Method::GET, "/api/v1/namespaces/a/configmaps/b");
        let matching = request(Method::POST, "/api/v1/namespaces/a/configmaps");
        let requests = [&other, &matching, &other, &matching, &matching];
        let applied: Vec<_> = requests.iter().map(|it| rule.apply(it).is_some()).collect();
        assert_eq!(applied, [false, false, false, true, false]);
    }

    #[test]
    fn a_rule_can_apply_always() {
        let mut rule = Rule::new(Fault::Cut).nth(1).always();
        let any = request(Method::GET, "/version");
        let applied: Vec<_> = (0..4).map(|_| rule.apply(&any).is_some()).collect();
        assert_eq!(applied, [false, true, true, true]);
    }
}
