//! What the proxy remembers of a request.

use std::fmt;
use std::time::Instant;

use http::Method;
use hyper::body::Bytes;

/// A request, as it arrived, and what came of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which it was, of all that the proxy saw, from 0.
    pub number: usize,
    /// When it arrived.
    pub arrived: Instant,
    /// GET, POST and so on.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, empty without one.
    pub query: String,
    /// What was sent.
    pub body: Bytes,
    /// What the API server answered, if it was asked and has.
    pub status: Option<u16>,
    /// The fault that befell it.
    pub fault: Option<&'static str>,
}

impl Request {
    /// Whether it watches.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| ["watch=true", "watch=1", "watch"].contains(&pair))
    }

    /// Whether it may change something.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether it is about the Lease.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource() == "leases"
    }

    /// The namespace, empty for all of them.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self.parts().as_slice() {
            ["namespaces", namespace, _, ..] => namespace,
            _ => "",
        }
    }

    /// The plural of the kind that it is about.
    #[must_use]
    pub fn resource(&self) -> &str {
        match self.parts().as_slice() {
            ["namespaces", _, resource, ..] | [resource, ..] => resource,
            [] => "",
        }
    }

    /// The path after group and version.
    fn parts(&self) -> Vec<&str> {
        let skipped = if self.path.starts_with("/api/") { 2 } else { 3 };
        self.path.trim_matches('/').split('/').skip(skipped).collect()
    }
}

/// One line for a person: `PATCH /apis/x/v1/namespaces/a/ys/b -> 200 (answer lost)`.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => f.write_str(" -> nothing")?,
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
            body: Bytes::new(),
            status: None,
            fault: None,
        }
    }

    #[test]
    fn the_path_tells_what_is_asked_for() {
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
    fn a_watch_says_so_in_its_query() {
        assert!(get("/api/v1/configmaps", "a=b&watch=true").is_watch());
        assert!(!get("/api/v1/configmaps", "limit=500&labelSelector=watch").is_watch());
    }
}
