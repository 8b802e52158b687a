//! Responses about one object.
//!
//! Tenants choose how large an object is. A response of up to [`SMALL`] is received like any other; of
//! larger ones, at most [`LARGE_AT_A_TIME`] are in memory in the whole process, until they are decoded.
//! The others wait without being received, and never hold up small ones.

use std::io;

use futures::AsyncBufRead as _;
use futures::AsyncBufReadExt as _;
use http::Request;
use kube::Client;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

/// The longest response that needs no permit. The usual one has a few KiB.
pub const SMALL: usize = 64 * 1024;
/// How many large responses are in memory at a time.
const LARGE_AT_A_TIME: usize = 2;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_A_TIME);

/// A complete response that was not decoded yet.
pub struct Received {
    bytes: Vec<u8>,
    _permit: Option<SemaphorePermit<'static>>,
}

// === impl Received ===

impl Received {
    /// Decodes the response.
    ///
    /// # Errors
    /// It is not what was expected. The error does not quote it.
    pub fn decode<T: DeserializeOwned>(&self) -> kube::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(kube::Error::SerdeError)
    }
}

/// Sends `request`, and receives the response.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn receive(client: &Client, request: Request<Vec<u8>>) -> kube::Result<Received> {
    let received = receive_up_to(usize::MAX, client, request).await?;
    Ok(received.unwrap_or(Received { bytes: Vec::new(), _permit: None }))
}

/// As [`receive`], but `None` if the response is longer than `limit`.
///
/// # Errors
/// As [`receive`].
pub async fn receive_up_to(
    limit: usize,
    client: &Client,
    request: Request<Vec<u8>>,
) -> kube::Result<Option<Received>> {
    let failed = |error: io::Error| kube::Error::Service(error.into());
    let mut body = Box::pin(client.request_stream(request).await?);
    let (mut bytes, mut permit) = (Vec::new(), None);
    loop {
        let part = body.fill_buf().await.map_err(failed)?;
        if part.is_empty() {
            return Ok(Some(Received { bytes, _permit: permit }));
        }
        bytes.extend_from_slice(part);
        let length = part.len();
        body.as_mut().consume(length);
        if bytes.len() > limit {
            return Ok(None);
        }
        if bytes.len() > SMALL && permit.is_none() {
            // The semaphore is never closed.
            permit = LARGE.acquire().await.ok();
        }
    }
}

/// Sends `request`, and decodes the response.
///
/// # Errors
/// The API server rejects the call, does not respond, or responds with something else.
pub async fn request<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
) -> kube::Result<T> {
    receive(client, request).await?.decode()
}
