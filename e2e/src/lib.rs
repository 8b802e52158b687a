//! Real clusters for ConfigMapSync.

pub mod command;
pub mod debian;
pub mod helm;
pub mod image;
pub mod jaeger;
pub mod sandbox;
