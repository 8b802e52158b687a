//! One file per promise, each shown on a real API server.
//!
//! They are one program, so that tests that wait leave the machine to others.

mod bad_input;
mod collector_down;
mod copy_follows_source;
mod deletion_leaves_nothing;
mod drift_repaired;
mod failover;
mod fan_out;
mod foreign_untouched;
mod idle_is_silent;
mod kubectl;
mod metrics;
mod retry_after;
mod sieve;
mod slow_namespace;
mod suspend;
mod traces;
mod troubles_at_start;
