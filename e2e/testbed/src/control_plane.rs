//! A cluster without pods: etcd, kube-apiserver and kube-controller-manager as child processes.
//!
//! They run on loopback, without root. Several can run side by side: etcd listens on a socket in the
//! run's folder, the API server on a free port. All of it, processes and folder, is
//! removed when the [`ControlPlane`] is dropped or this program ends, even by SIGKILL.
//!
//! With other [`Settings`] the same programs run inside a network namespace, for a cluster with pods.

pub mod api_server;
mod apply;
mod programs;
mod running;
mod settings;
mod startup;

pub use crate::control_plane::running::ControlPlane;
pub use crate::control_plane::settings::Recorded;
pub use crate::control_plane::settings::Settings;
