//! Helpers that several guarantees are tested with.

pub mod attempt_table;
pub mod audit;
pub mod charts;
pub mod conditions;
pub mod config_maps;
pub mod copies;
pub mod crash;
pub mod deny_policy;
pub mod fault_matrix;
pub mod metrics_page;
pub mod mutating_policy;
pub mod orphan_collection;
pub mod process;
pub mod scale;
pub mod startup;
pub mod syncs;
pub mod uninstall_job;
pub mod uninstall_steps;
