//! The body of a response to the replica.

use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;

/// A response body: complete, or a stream of lines.
pub(super) type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// A body of these bytes.
pub(super) fn complete(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
