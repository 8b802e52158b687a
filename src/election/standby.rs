//! A standby's watches, on the Lease and on the pod of its holder, to notice a release or a crash before
//! the next poll.
//!
//! They only wake the poll, which reads the objects and decides. Without the watches, polling continues.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio::time::timeout;

/// Start at any resourceVersion: an outdated state is followed by the events that update it.
const ANY_VERSION: &str = "0";

/// What ends the wait for the next poll.
#[derive(Debug, Default)]
pub struct Wake {
    notify: Notify,
    has_pod_changed: AtomicBool,
}

// === impl Wake ===

impl Wake {
    /// Waits for `period`, or until the Lease is released or the watched pod has changed.
    pub async fn wait(&self, period: Duration) {
        let _ = timeout(period, self.notify.notified()).await;
    }

    /// Whether the watched pod has changed since the last call, or the watch on it has begun.
    pub fn take_pod_changed(&self) -> bool {
        self.has_pod_changed.swap(false, Ordering::AcqRel)
    }

    fn pod_changed(&self) {
        self.has_pod_changed.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// Watches the Lease `name` in `namespace`, and wakes whenever it has no holder. A watch that ends or
/// fails is started again after `pause`.
pub async fn watch_lease(
    client: Client,
    namespace: &str,
    name: &str,
    pause: Duration,
    wake: &Wake,
) -> Infallible {
    // Dynamic: an object that does not match the type must not end the watch.
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &ApiResource::erase::<Lease>(&()));
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        if let Ok(events) = api.watch(&parameters, ANY_VERSION).await {
            let mut events = pin!(events);
            while let Some(Ok(event)) = events.next().await {
                if has_no_holder(&event) {
                    wake.notify.notify_one();
                }
            }
        }
        sleep(pause).await;
    }
}

/// Watches the pod in `namespace` whose name `pod` has, if any, and wakes whenever it changes, and when
/// the watch begins. A watch that ends or fails is started again after `pause`.
pub async fn watch_pod(
    client: Client,
    namespace: &str,
    mut pod: watch::Receiver<Option<String>>,
    pause: Duration,
    wake: &Wake,
) -> Infallible {
    let api: Api<Pod> = Api::namespaced(client, namespace);
    loop {
        let name = pod.borrow_and_update().clone();
        let watching = async {
            let Some(name) = name else { return std::future::pending().await };
            let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
            if let Ok(events) = api.watch_metadata(&parameters, ANY_VERSION).await {
                let mut events = pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    if matches!(event, WatchEvent::Added(_) | WatchEvent::Modified(_)) {
                        wake.pod_changed();
                    }
                }
            }
            sleep(pause).await;
        };
        tokio::select! {
            () = watching => {}
            Ok(()) = pod.changed() => {}
        }
    }
}

/// False for a deleted Lease: its leader may not know yet that it was deleted.
fn has_no_holder(event: &WatchEvent<DynamicObject>) -> bool {
    match event {
        WatchEvent::Added(lease) | WatchEvent::Modified(lease) => {
            lease.data["spec"]["holderIdentity"].as_str().unwrap_or_default().is_empty()
        }
        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) | WatchEvent::Error(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(spec: &serde_json::Value) -> DynamicObject {
        let lease = json!({"metadata": {"name": "lease"}, "spec": spec});
        serde_json::from_value(lease).unwrap()
    }

    #[test]
    fn only_a_lease_that_nobody_holds_has_no_holder() {
        assert!(has_no_holder(&WatchEvent::Modified(lease(&json!({"holderIdentity": ""})))));
        assert!(has_no_holder(&WatchEvent::Added(lease(&json!({})))));
        assert!(!has_no_holder(&WatchEvent::Modified(lease(&json!({"holderIdentity": "a"})))));
        assert!(!has_no_holder(&WatchEvent::Deleted(lease(&json!({})))));
    }
}
