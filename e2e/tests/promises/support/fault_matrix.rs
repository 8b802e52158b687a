//! Runs of scenarios in which one request after the other is answered with each fault.

pub mod api_fault;
pub mod consent;
pub mod matrix;
pub mod spacing;
