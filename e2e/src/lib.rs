//! Real clusters for ConfigMapSync.

pub mod audit;
pub mod certificates;
pub mod control_plane;
pub mod kubeconfig;
pub mod process;
pub mod run_folder;
pub mod tools;
pub mod wait;
