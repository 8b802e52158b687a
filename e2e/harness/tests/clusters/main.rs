//! The harness, on real control planes.
//!
//! One program, so that tests that wait leave the machine to others.

mod api_servers;
mod audit_log;
mod proxy;
mod replica_identity;
