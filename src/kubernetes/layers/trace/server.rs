//! The API server, as a span names it.

use http::Uri;

/// The API server's address.
pub struct Server {
    /// The host name, or an IP address without brackets.
    pub address: String,
    pub port: u16,
    /// What the path of a request is appended to. It has no credentials.
    base: String,
}

// === impl Server ===

impl Server {
    /// The server at `url`, which may have a path of its own.
    pub fn new(url: &Uri) -> Self {
        let scheme = url.scheme_str().unwrap_or("https");
        let host = url.host().unwrap_or_default();
        let default_port = if scheme == "http" { 80 } else { 443 };
        let port = url.port_u16().unwrap_or(default_port);
        let path = url.path().trim_end_matches('/');
        Self {
            address: host.trim_matches(['[', ']']).to_owned(),
            port,
            base: format!("{scheme}://{host}:{port}{path}"),
        }
    }

    /// The full URL of a request for `uri`.
    pub fn url(&self, uri: &Uri) -> String {
        format!("{}{}", self.base, uri.path_and_query().map_or("/", |path| path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &'static str) -> Server {
        Server::new(&Uri::from_static(url))
    }

    #[test]
    fn the_port_defaults_to_that_of_the_scheme() {
        for (url, address, port) in [
            ("https://cluster.local", "cluster.local", 443),
            ("http://cluster.local", "cluster.local", 80),
            ("https://[::1]:6443", "::1", 6443),
        ] {
            let server = server(url);
            assert_eq!((server.address.as_str(), server.port), (address, port), "{url}");
        }
    }

    #[test]
    fn the_url_has_the_path_of_the_server_but_no_credentials() {
        let server = server("https://user:password@cluster.local:6443/clusters/a/");
        let url = server.url(&Uri::from_static("/api/v1/configmaps?limit=500"));
        assert_eq!(url, "https://cluster.local:6443/clusters/a/api/v1/configmaps?limit=500");
    }
}
