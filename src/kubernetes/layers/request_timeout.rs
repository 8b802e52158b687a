//! The parameter `timeout`: how long the API server may work on a request.
//!
//! After a client has given up, the API server may still commit its request: with a stalled etcd,
//! minutes later. The parameter bounds that time.

use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;

/// Adds `timeout` to the query of `uri`, in milliseconds, rounded down. A URI that would become
/// invalid is left unchanged.
pub fn limit(uri: &mut Uri, timeout: Duration) {
    let separator = if uri.query().is_some_and(|query| !query.is_empty()) { "&" } else { "?" };
    let before = uri.path_and_query().map_or("/", PathAndQuery::as_str).trim_end_matches('?');
    let limited = format!("{before}{separator}timeout={}ms", timeout.as_millis());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = limited.parse().ok();
    if parts.path_and_query.is_some()
        && let Ok(limited) = Uri::from_parts(parts)
    {
        *uri = limited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(uri: &str) -> String {
        let mut uri = uri.parse().unwrap();
        limit(&mut uri, Duration::from_millis(1_500));
        uri.to_string()
    }

    #[test]
    fn the_timeout_is_appended_to_the_query() {
        assert_eq!(limited("/api/x?"), "/api/x?timeout=1500ms");
        assert_eq!(limited("/api/x?a=b"), "/api/x?a=b&timeout=1500ms");
        assert_eq!(limited("https://host:1/api/x"), "https://host:1/api/x?timeout=1500ms");
    }
}
