//! The body of a response.

use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;

/// What is answered: whole, or line by line.
pub(super) type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// A body that is there already.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
