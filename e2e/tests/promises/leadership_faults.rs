//! Promise: whatever befalls the replicas, their network and their clocks, one of them writes at a
//! time, another follows soon, and what a leader has left behind does no harm.
//!
//! Each test runs replicas on a real API server, each behind a network of its own, while sources
//! are edited all the time. What is true of the run is judged by the oracles O1-O6, from the audit
//! log and the revisions of etcd; no replica is asked what it believes.

mod clocks;
mod control_plane;
mod frozen;
mod network;
mod property;
mod signal;
mod stage;
mod upgrade;
