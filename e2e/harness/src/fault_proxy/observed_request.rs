//! A request that the proxy has recorded.

use std::fmt;
use std::time::Instant;

use http::Method;
use hyper::body::Bytes;

/// A request as it arrived, and its outcome.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its index among all requests through the proxy.
    pub number: usize,
    /// When it arrived.
    pub arrived: Instant,
    /// The HTTP method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query; empty if there is none.
    pub query: String,
    /// The header `traceparent`, if there is one.
    pub traceparent: Option<String>,
    /// The body.
    pub body: Bytes,
    /// The status of the API server's response; `None` if it has not responded.
    pub status: Option<u16>,
    /// The description of its fault, if any.
    pub fault: Option<&'static str>,
}

impl Request {
    /// Whether it is a watch.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| ["watch=true", "watch=1", "watch"].contains(&pair))
    }

    /// Whether its method is a write.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether it is for Leases.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource() == "leases"
    }

    /// The namespace; empty for all namespaces and for cluster-scoped resources.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self.parts().as_slice() {
            ["namespaces", namespace, _, ..] => namespace,
            _ => "",
        }
    }

    /// The plural name of the resource.
    #[must_use]
    pub fn resource(&self) -> &str {
        match self.parts().as_slice() {
            ["namespaces", _, resource, ..] | [resource, ..] => resource,
            [] => "",
        }
    }

    /// The segments of the path after group and version.
    fn parts(&self) -> Vec<&str> {
        let skipped = if self.path.starts_with("/api/") { 2 } else { 3 };
        self.path.trim_matches('/').split('/').skip(skipped).collect()
    }
}

/// One line: `PATCH /apis/x/v1/namespaces/a/ys/b -> 200 (response lost)`.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => f.write_str(" -> no response")?,
        }
        self.fault.map_or(Ok(()), |fault| write!(f, " ({fault})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, query: &str) -> Request {
        Request {
            number: 0,
            arrived: Instant::now(),
            method: Method::GET,
            path: path.to_owned(),
            query: query.to_owned(),
            traceparent: None,
            body: Bytes::new(),
            status: None,
            fault: None,
        }
    }

    #[test]
    fn the_path_contains_namespace_and_resource() {
        for (path, namespace, resource) in [
            ("/api/v1/configmaps", "", "configmaps"),
            ("/api/v1/namespaces/a/configmaps", "a", "configmaps"),
            ("/api/v1/namespaces/a/configmaps/b", "a", "configmaps"),
            ("/api/v1/namespaces", "", "namespaces"),
            ("/apis/x.y/v1/namespaces/a/things/b/status", "a", "things"),
            ("/apis/x.y/v1/things", "", "things"),
            ("/version", "", ""),
        ] {
            let request = get(path, "");
            assert_eq!((request.namespace(), request.resource()), (namespace, resource), "{path}");
        }
    }

    #[test]
    fn a_watch_is_recognized_by_its_query() {
        assert!(get("/api/v1/configmaps", "a=b&watch=true").is_watch());
        assert!(!get("/api/v1/configmaps", "limit=500&labelSelector=watch").is_watch());
    }
}
