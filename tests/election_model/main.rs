//! The election, explored in every order of events that a small world can bring about.
//!
//! The model has the Lease, two or three replicas, what is under way between them, the guard, the
//! renew deadline, the write gate, the announcement and the fence. Any process may be slow for any
//! time at any moment, be frozen between its last look at the clock and sending, or end and begin
//! anew; any message may be late or lost. The guard is the operator's own function, asked about
//! every case; the crate is told in four lines, and those are held against the crate itself.
//!
//! What is shown:
//! * with everything on, writes of two terms never mix, and from everywhere somebody can lead again
//!   (`holds`); without the fence the same, as long as writes are not delayed on their way;
//! * each protection is needed: without it, the shortest way to harm is printed and kept
//!   (`crate_alone`, `protections`);
//! * what is beyond all of it has its counterexample, too (`limits`).
//!
//! # What the numbers stand for
//!
//! A world is a moment, not a history: there are finitely many, and paths of any length lead
//! through them. So nothing is bounded but the number of replicas, the lengths in ticks, and what
//! one pod has under way: one request for the Lease that is waited for and one that is not, one
//! announcement and one write. `E2E_FULL=1` takes longer times, three replicas and meddling with
//! the Lease where every run takes two and none.
//!
//! # Caveats
//!
//! The checker tells worlds apart by a hash of 64 bits: that it takes two for one is possible, and
//! improbable (below one in 10,000 for the largest exploration here). Of liveness it can soundly
//! check only what `recovery` makes an invariant of.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod calls;
mod crate_alone;
mod election;
mod explore;
mod guard;
mod holds;
mod limits;
mod oracle;
mod protections;
mod recovery;
mod rules;
mod tell;
mod told;
mod world;
mod writes;
