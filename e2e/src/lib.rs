//! Real clusters for ConfigMapSync.

pub mod audit;
pub mod certificates;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod debian;
pub mod demo;
pub mod helm;
pub mod image;
pub mod jaeger;
pub mod kubeconfig;
pub mod node;
pub mod process;
pub mod run_folder;
pub mod sandbox;
pub mod tools;
pub mod wait;
