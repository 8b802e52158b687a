//! A model of the leader election, explored exhaustively.
//!
//! The model contains the Lease, two or three replicas, their requests in flight, the lease guard,
//! the renew deadline, the write gate, the leader record and the fence. At any time, any process
//! may be delayed, suspended between checking the clock and sending, or restarted; any message may
//! be delayed or lost. The guard is the operator's own code, tabulated before the exploration. The
//! crate `kube-leader-election` is modelled in four lines, which `crate_conformance` compares with
//! the crate itself.
//!
//! Results:
//! * With all protections, writes of two terms never interleave, and a replica can lead again from
//!   every state (`invariants`). Without the fence the same holds if writes are not delayed in
//!   transit.
//! * Each protection is necessary: without it, the shortest counterexample is asserted
//!   (`crate_alone`, `protections`).
//! * A Lease whose holder has provably ended, and had published the leader record, is acquired at once. The proof must be as strict as it is,
//!   and finalizers must be kept for as long as late writes may take effect (`crashes`).
//! * Each assumption is necessary, too, and has its counterexample (`assumptions`).
//!
//! # Bounds
//!
//! A state describes a moment, not a history: there are finitely many states, connected by paths
//! of any length. Bounded are only the number of replicas, the durations in ticks, and what one
//! pod has in flight: one request for the Lease with a waiting process and one without, one
//! publication of the leader record, and one write. `E2E_FULL=1` adds longer durations, three
//! replicas and users that change the Lease.
//!
//! # Caveats
//!
//! The checker identifies states by a hash of 64 bits. A collision is possible, with a probability
//! below 1 in 10,000 for the largest exploration here. It verifies no liveness except what
//! `recovery` turns into an invariant.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod assumptions;
mod checker;
mod config;
mod crash_steps;
mod crashes;
mod crate_alone;
mod crate_conformance;
mod guard;
mod invariants;
mod lease_steps;
mod model;
mod oracle;
mod protections;
mod recovery;
mod state;
mod trace;
mod write_steps;
