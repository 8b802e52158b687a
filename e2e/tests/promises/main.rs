//! One file per promise, each shown on a real API server.
//!
//! They are one program, so that tests that wait leave the machine to others.

mod at_hand;
mod bad_input;
mod byte_for_byte;
mod collector_down;
mod copy_follows_source;
mod deletion_leaves_nothing;
mod destination_changes;
mod drift_repaired;
mod failover;
mod fan_out;
mod foreign_untouched;
mod hot_source;
mod idle_is_silent;
mod immutable_copies;
mod kubectl;
mod metadata_hygiene;
mod metrics;
mod no_copies_of_copies;
mod one_copy_one_sync;
mod plan_command;
mod protected_namespaces;
mod recreated_sync;
mod sieve;
mod source_comes_and_goes;
mod suspend;
mod sweep;
mod sweep_command;
mod traces;
mod troubles_at_start;
