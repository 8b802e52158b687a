//! Helpers that several guarantees are tested with.

pub mod attempt_table;
pub mod audit;
pub mod conditions;
pub mod config_maps;
pub mod copies;
pub mod deny_policy;
pub mod scale;
pub mod syncs;
