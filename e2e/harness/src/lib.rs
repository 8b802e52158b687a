//! The operator under test, on a [`testbed`].
//!
//! | module | contents |
//! |---|---|
//! | [`audit_queries`] | the operator's requests, filtered from the audit log |
//! | [`installation`], [`permissions`] | installing the operator's manifests; revoking and restoring its permissions |
//! | [`scope`] | a run of tests whose operators are limited to some namespaces |
//! | [`replica`], [`cli`] | the operator as a process with the identity of a pod, and as a command |
//! | [`documented`] | the commands of the documentation, in a shell |
//! | [`unprotected`] | an operator without the protections of leader election, which the oracles must detect |
//! | [`attempt`] | a single API request, and whether it is allowed |
//! | [`fault_proxy`] | a proxy in front of the API server that injects faults |
//! | [`fixture`], [`load`] | the actions of a user in a cluster; a continuous load |
//! | [`busy_tenant`], [`unauthorized_tenant`] | tenants who write in a loop: what they may, and what they may not |
//! | [`operator_cluster`] | a cluster with replicas of the operator, the start of most tests |
//! | [`oracle`] | the guarantees that every run must meet |

pub mod attempt;
pub mod audit_queries;
pub mod busy_tenant;
pub mod cli;
pub mod documented;
pub mod fault_proxy;
pub mod fixture;
pub mod installation;
pub mod kubelet_status;
pub mod load;
pub mod operator_cluster;
pub mod oracle;
pub mod permissions;
pub mod replica;
pub mod scope;
pub mod unauthorized_tenant;
pub mod unprotected;
