//! Property tests of the decisions, on a simulated cluster.

pub(super) mod cluster;
mod crashes;
mod refusing_namespaces;
