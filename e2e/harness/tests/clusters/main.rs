//! Tests of the harness on real control planes.
//!
//! One test program, so that its tests run in parallel: most of them wait.

mod api_servers;
mod audit_log;
mod proxy;
mod replica_identity;
