//! Runs of a scenario in which the operator is stopped at each of its requests.

pub mod fault_case;
pub mod runner;
pub mod scenario;
pub mod scenarios;
pub mod state;
