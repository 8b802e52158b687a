//! The requests of watches.

use harness::fault_proxy::FaultProxy;
use http::Method;

/// The watched resources.
pub const RESOURCES: [&str; 3] = ["configmapsyncs", "configmaps", "namespaces"];

/// The number of lists and of watches of `resource` in the cluster after the first `count` requests.
pub fn lists_and_watches(proxy: &FaultProxy, count: usize, resource: &str) -> (usize, usize) {
    let requests = proxy.requests_where(count, |it| {
        let is_collection = it.path.ends_with(&format!("/{resource}"));
        it.method == Method::GET && is_collection && it.namespace().is_empty()
    });
    let watches = requests.iter().filter(|it| it.is_watch()).count();
    (requests.len() - watches, watches)
}
