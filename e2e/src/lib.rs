//! Real clusters for ConfigMapSync.
//!
//! | module | what it is about |
//! |---|---|
//! | [`wait`] | waiting for a state, with a deadline and a message |
//! | [`tools`] | the programs of a cluster, built from pinned Go modules |
//! | [`process`], [`run_folder`] | children and folders that never outlive the harness |
//! | [`certificates`], [`kubeconfig`] | who may talk to a cluster, and how |
//! | [`control_plane`] | a cluster without pods |
//! | [`audit`] | who asked the API server for what |
//! | [`oracle`] | what must be true of every run |
//! | [`replica`] | the operator as a process with the identity of a pod |
//! | [`careless`] | an operator without all that makes a leader safe |
//! | [`cli`] | the operator's binary as a person runs it |
//! | [`rights`] | what the operator may do, taken away and given back |
//! | [`people`], [`attempt`] | what others may do, and what they try |
//! | [`fault_proxy`] | an API server that fails on demand |
//! | [`fixture`], [`load`], [`world`] | what tests do, and what they start with |
//! | [`clock`] | another time for a process |
//! | [`sandbox`], [`debian`] | a place for a node, and what it needs of the machine |
//! | [`node`], [`cluster`] | what makes pods run, and a cluster with pods |
//! | [`image`], [`helm`], [`jaeger`] | the operator's image and chart, and where its traces go |
//! | [`demo`] | all of it shown to a person |
//! | [`bench`] | all of it measured |

pub mod attempt;
pub mod audit;
pub mod bench;
pub mod careless;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod debian;
pub mod demo;
pub mod fault_proxy;
pub mod fixture;
pub mod helm;
pub mod image;
pub mod jaeger;
pub mod kubeconfig;
pub mod load;
pub mod node;
pub mod oracle;
pub mod people;
pub mod process;
pub mod replica;
pub mod rights;
pub mod run_folder;
pub mod sandbox;
pub mod tools;
pub mod wait;
pub mod world;
