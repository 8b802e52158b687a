//! Requests to servers on this machine.

use reqwest::Client;
use reqwest::ClientBuilder;
use reqwest::Response;
use rustls::crypto::ring::default_provider;

/// A client. With the features that the operator enables, reqwest needs a crypto provider to build
/// one, also without TLS.
pub fn client() -> ClientBuilder {
    // An error means that there is one.
    let _ = default_provider().install_default();
    Client::builder()
}

/// The response to a GET, whatever its status.
pub async fn get(url: &str) -> reqwest::Result<Response> {
    client().build()?.get(url).send().await
}
