//! Under faults of replicas, networks, clocks, API servers and etcd, one replica writes at a time,
//! another one takes over soon, and late requests of a former leader cause no harm.
//!
//! Each test runs replicas behind a fault proxy each on a real API server, while sources are edited
//! continuously. The oracles O1-O6 judge the run by the audit log and the revisions of etcd, not by
//! the state of the replicas.

mod clocks;
mod control_plane;
mod fault_cluster;
mod freeze;
mod network;
mod property;
mod sigterm;
mod upgrade;
