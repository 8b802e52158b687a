//! Layers around every request of a client.

pub mod count;
pub mod request_timeout;
pub mod retry_after;
