//! Property tests of the decisions, on a simulated cluster.

mod cluster;
mod crashes;
