//! Real clusters for ConfigMapSync.

pub mod tools;
