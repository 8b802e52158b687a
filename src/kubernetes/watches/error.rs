//! Why an attempt failed.

use std::time::Duration;

use http::StatusCode;

use crate::kubernetes::error::explain;
use crate::kubernetes::error::has_code;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused the request, ended the watch with an error, or did not respond.
    #[error("{}", explain(.0))]
    Request(kube::Error),
    /// The response was not complete in time.
    #[error("no complete response from the API server within {0:?}")]
    Timeout(Duration),
    /// The response is neither a list nor an event. The text of the error is not reported: it may
    /// quote the response.
    #[error(
        "the response is not from an API server (column {} of line {}): check the proxies before it",
        .0.column(), .0.line()
    )]
    Unreadable(serde_json::Error),
    /// A list or an event without a resourceVersion.
    #[error("the response has no resourceVersion: check the proxies before the API server")]
    NoVersion,
    /// The response ended without an event, soon after it had begun.
    #[error("the watch ended without an event: check the proxies before the API server")]
    Ended,
}

// === impl Error ===

impl Error {
    /// Whether the API server responded with the HTTP status `code`.
    #[must_use]
    pub fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Request(error) if has_code(error, code))
    }

    /// Whether the API server no longer knows the version that was requested.
    pub(super) fn is_expired(&self) -> bool {
        self.has_code(StatusCode::GONE.as_u16())
    }

    /// The delay that the API server requested.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Self::Request(kube::Error::Api(status)) = self else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::SerdeError(error) => Self::Unreadable(error),
            error => Self::Request(error),
        }
    }
}
