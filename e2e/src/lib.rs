//! Real clusters for ConfigMapSync.

pub mod command;
pub mod sandbox;
