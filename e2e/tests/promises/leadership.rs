//! At most one replica leads, whatever happens to the Lease. It publishes the leader record before
//! it writes, and hands over when it is stopped.

mod crash_recovery;
mod fence_refusal;
mod first_leader;
mod hand_over;
mod leader_record;
mod lease_permission;
mod manifests_keep_lease;
mod support;
mod tampering;
mod terms;
