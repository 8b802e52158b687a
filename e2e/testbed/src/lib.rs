//! A real Kubernetes cluster from nothing.
//!
//! | module | what it is about |
//! |---|---|
//! | [`wait`] | waiting for a state, with a deadline and a message |
//! | [`terminal`] | progress of long work on a terminal |
//! | [`accounts`], [`repository`], [`ports`] | names, files and ports that several modules share |
//! | [`command`], [`process`], [`run_folder`] | child processes and folders that never outlive this program |
//! | [`tools`] | the programs of a cluster, built from pinned Go modules |
//! | [`certificates`], [`kubeconfig`] | credentials |
//! | [`audit`] | the audit log of an API server |
//! | [`control_plane`], [`users`] | a cluster without pods, and its users with their permissions |
//! | [`clock`] | a separate clock for a process |
//! | [`sandbox`], [`debian`] | the namespaces that a node runs in, and the packages that it needs |
//! | [`environment`], [`node`], [`cluster`] | a node, and a cluster with pods |
//! | [`image`], [`helm`], [`jaeger`] | the operator's image, its chart, and a Jaeger for its traces |
//! | [`pod_process`] | the process in a pod, as this machine sees it |
//! | [`pod_tests`], [`scale`] | the switches that skip tests with real pods, and that make tests larger |

pub mod accounts;
pub mod audit;
pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod debian;
pub mod environment;
pub mod helm;
pub mod image;
pub mod jaeger;
pub mod kubeconfig;
pub mod node;
pub mod picture;
pub mod pod_process;
pub mod pod_tests;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod repository;
pub mod requests;
pub mod run_folder;
pub mod sandbox;
pub mod scale;
pub mod terminal;
pub mod tools;
pub mod users;
pub mod wait;
