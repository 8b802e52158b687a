//! What the operator did, from the audit log and its own log.

use harness::audit_queries::writes_by_operator;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use testbed::audit::Event;

/// The operator's writes of ConfigMaps, whether they succeeded or not.
pub fn copy_writes(events: &[Event]) -> Vec<&Event> {
    let writes = writes_by_operator(events).into_iter();
    writes.filter(|event| event.resource() == "configmaps").collect()
}

/// Verb and namespace of each event, in order.
pub fn operations<'a>(events: &[&'a Event]) -> Vec<(&'a str, &'a str)> {
    events.iter().map(|event| (event.verb.as_str(), event.namespace())).collect()
}

/// Whether a reconcile ended before the response to one of its writes arrived. Such a write may be
/// reported twice: while it is pending, and when the response arrives.
pub fn write_outlived_reconcile(cluster: &OperatorCluster) -> bool {
    let is_late =
        |line: &Value| line["message"] == "writes without a response continue in the background";
    cluster.replicas.iter().any(|replica| replica.logs().iter().any(is_late))
}
