//! Layers that every request of a client passes.

pub mod count;
pub mod read_timeout;
pub mod request_timeout;
pub mod retry_after;
mod target;
pub mod trace;
