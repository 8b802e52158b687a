//! One replica of the operator, as a plain process with the identity of a pod.
//!
//! For the API server it does not differ from a replica in a cluster with pods: it has the operator's
//! ServiceAccount and a token bound to its own pod. But it can be frozen and killed, and needs no root.

mod operator_binary;
mod pod_identity;
mod replica_options;
mod running_replica;

pub use crate::replica::operator_binary::build_operator;
pub use crate::replica::operator_binary::operator_binary;
pub use crate::replica::operator_binary::unprotected_binary;
pub use crate::replica::pod_identity::Pod;
pub use crate::replica::pod_identity::publish_leader_record;
pub use crate::replica::pod_identity::unbound_operator;
pub use crate::replica::replica_options::Options;
pub use crate::replica::running_replica::Replica;
