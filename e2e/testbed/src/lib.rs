//! A real Kubernetes cluster from nothing.
//!
//! | module | what it is about |
//! |---|---|
//! | [`wait`] | waiting for a state, with a deadline and a message |
//! | [`terminal`] | what a person sees of work that takes time |
//! | [`accounts`], [`repository`], [`ports`] | names, files and ports that several modules share |
//! | [`command`], [`process`], [`run_folder`] | children and folders that never outlive this program |
//! | [`tools`] | the programs of a cluster, built from pinned Go modules |
//! | [`certificates`], [`kubeconfig`] | who may talk to a cluster, and how |
//! | [`audit`] | who asked the API server for what |
//! | [`control_plane`], [`users`] | a cluster without pods, and who may do what in it |
//! | [`clock`] | another time for a process |
//! | [`sandbox`], [`debian`] | where a node runs, and what it needs of the machine |
//! | [`environment`], [`node`], [`cluster`] | what makes pods run, and a cluster with pods |
//! | [`image`], [`helm`], [`jaeger`] | the operator's image and chart, and where its traces go |
//! | [`pod_tests`] | whether tests with real pods are to be skipped |

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
pub mod pod_tests;
pub mod ports;
pub mod process;
pub mod repository;
pub mod run_folder;
pub mod sandbox;
pub mod terminal;
pub mod tools;
pub mod users;
pub mod wait;
