//! A standby's watch on the Lease, to notice a release before the next poll.
//!
//! It only wakes the poll, which reads the Lease and decides. Without the watch, polling continues.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::Client;
use kube::api::ApiResource;
use kube::api::DynamicObject;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Start at any resourceVersion: an outdated state is followed by the events that update it.
const ANY_VERSION: &str = "0";

/// Watches the Lease `name` in `namespace`, and notifies `released` whenever it has no holder. A
/// watch that ends or fails is started again after `pause`.
pub async fn watch(
    client: Client,
    namespace: &str,
    name: &str,
    pause: Duration,
    released: &Notify,
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
                    released.notify_one();
                }
            }
        }
        sleep(pause).await;
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
