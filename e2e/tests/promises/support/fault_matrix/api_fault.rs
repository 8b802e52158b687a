//! The faults of an API server, and of the network in front of it.

use std::fmt;
use std::time::Duration;

use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Hold;

/// The delay that a response with `Retry-After` requests.
const REQUESTED: u32 = 3;
/// The shortest first delay of the backoff: one second, less the jitter.
const FIRST_DELAY: Duration = Duration::from_millis(800);
/// Less than the read timeout of a call.
const UNANSWERED: Duration = Duration::from_secs(10);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// The request is refused with a `Status` of this code, and not handled.
    Status(u16),
    /// The request is refused with this code and a delay that the response requests.
    RetryAfter(u16),
    /// The request is lost, and the connection stays open.
    NoAnswer,
    /// The request is handled, its response is lost, and the connection stays open.
    NoAnswerAfterCommit,
    /// The connection is closed before the request is handled.
    ResetBefore,
    /// The connection is closed after the request was handled.
    ResetAfterCommit,
    /// The request is handled; half of the response arrives.
    Truncated,
    /// A proxy responds with 200 and `{}`; the request is not handled.
    EmptyObject,
}

// === impl ApiFault ===

impl ApiFault {
    pub const ALL: [Self; 12] = [
        Self::Status(409),
        Self::RetryAfter(429),
        Self::RetryAfter(503),
        Self::Status(500),
        Self::Status(503),
        Self::Status(504),
        Self::NoAnswer,
        Self::NoAnswerAfterCommit,
        Self::ResetBefore,
        Self::ResetAfterCommit,
        Self::Truncated,
        Self::EmptyObject,
    ];

    /// The fault as the proxy injects it. `hold` holds the requests that get no answer.
    pub fn inject(self, hold: &Hold) -> Fault {
        match self {
            Self::Status(code) => Fault::Respond(CannedResponse::failure(code)),
            Self::RetryAfter(429) => Fault::Respond(CannedResponse::too_many_requests(REQUESTED)),
            Self::RetryAfter(code) => {
                Fault::Respond(CannedResponse::failure(code).retry_after(REQUESTED))
            }
            Self::NoAnswer => Fault::HoldBefore(hold.clone()),
            Self::NoAnswerAfterCommit => Fault::HoldAfter(hold.clone()),
            Self::ResetBefore => Fault::Cut,
            Self::ResetAfterCommit => Fault::LoseResponse,
            Self::Truncated => Fault::TruncateResponse,
            Self::EmptyObject => Fault::Respond(CannedResponse {
                status: 200,
                retry_after: None,
                body: "{}".to_owned(),
            }),
        }
    }

    /// Whether it occurs several times in a row even in a quick run: one fault of each kind.
    pub fn is_repeated(self) -> bool {
        [Self::Status(409), Self::Status(500), Self::ResetAfterCommit].contains(&self)
    }

    /// Whether the operator learns of it only by its own timeout.
    pub const fn is_silent(self) -> bool {
        matches!(self, Self::NoAnswer | Self::NoAnswerAfterCommit)
    }

    /// The shortest time from a request with this fault to the next try, after `earlier` faults of
    /// the same object.
    pub fn shortest_gap(self, earlier: u32) -> Duration {
        let backoff = FIRST_DELAY * 2_u32.pow(earlier);
        match self {
            // The object is read and decided on again at once.
            Self::Status(409) => Duration::ZERO,
            Self::RetryAfter(_) => backoff.max(Duration::from_secs(REQUESTED.into())),
            Self::NoAnswer | Self::NoAnswerAfterCommit => UNANSWERED,
            _ => backoff,
        }
    }
}

impl fmt::Display for ApiFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "{code}"),
            Self::RetryAfter(code) => write!(f, "{code} with Retry-After"),
            Self::NoAnswer => f.write_str("no answer, not handled"),
            Self::NoAnswerAfterCommit => f.write_str("no answer, handled"),
            Self::ResetBefore => f.write_str("reset before it is sent"),
            Self::ResetAfterCommit => f.write_str("reset after it is handled"),
            Self::Truncated => f.write_str("truncated response"),
            Self::EmptyObject => f.write_str("200 with an empty object"),
        }
    }
}
