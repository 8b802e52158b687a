//! One file per promise, each shown on a real API server.
//!
//! They are one program, so that tests that wait leave the machine to others.

mod adoption;
mod at_hand;
mod bad_input;
mod byte_for_byte;
mod collector_down;
mod conditions;
mod contended;
mod copy_follows_source;
mod deletion_leaves_nothing;
mod destination_changes;
mod destination_metadata;
mod drift_repaired;
mod events_on_transitions;
mod failover;
mod false_drift;
mod fan_out;
mod foreign_untouched;
mod hot_source;
mod idle_is_silent;
mod immutable_copies;
mod keys;
mod kubectl;
mod metadata_hygiene;
mod metrics;
mod namespace_missing;
mod namespace_terminating;
mod neighbours_unaffected;
mod no_copies_of_copies;
mod no_copy;
mod one_copy_one_sync;
mod places;
mod protected_namespaces;
mod recreated_sync;
mod refusals_told;
mod retry_after;
mod selector;
mod sieve;
mod slow_namespace;
mod source_comes_and_goes;
mod status_stays_small;
mod stuck_in_deletion;
mod suspend;
mod traces;
mod troubles_at_start;
