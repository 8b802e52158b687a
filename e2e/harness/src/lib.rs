//! The operator under test, on a [`testbed`].
//!
//! | module | what it is about |
//! |---|---|
//! | [`audit_queries`] | what the operator asked of the API server |
//! | [`installation`], [`permissions`] | what the operator needs in a cluster, and what it may do |
//! | [`replica`], [`cli`] | the operator as a process with the identity of a pod, and as a command |
//! | [`unprotected`] | an operator without all that makes a leader safe |
//! | [`attempt`] | a request made by hand, and how it is answered |
//! | [`fault_proxy`] | an API server that fails on demand |
//! | [`fixture`], [`load`] | what tests do in a cluster |
//! | [`operator_cluster`] | a cluster with the operator, which most tests start with |
//! | [`oracle`] | what must be true of every run |

pub mod attempt;
pub mod audit_queries;
pub mod cli;
pub mod fault_proxy;
pub mod fixture;
pub mod installation;
pub mod load;
pub mod operator_cluster;
pub mod oracle;
pub mod permissions;
pub mod replica;
pub mod unprotected;
