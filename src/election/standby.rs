//! What a standby watches: the Lease, and nothing else.
//!
//! A hint, no more: whoever is woken looks at the Lease itself. Without the watch, the polls go on.

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

/// Any version will do to begin with: what is old is followed by what is new.
const FROM_ANYWHERE: &str = "0";

/// Watches the Lease `name` in `namespace`, and wakes `freed` whenever nobody holds it. A watch
/// that ends, or fails, is begun again after `pause`.
pub async fn watch(
    client: Client,
    namespace: &str,
    name: &str,
    pause: Duration,
    freed: &Notify,
) -> Infallible {
    // Not as the type that it is: what cannot be read as one must not end the watch.
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &ApiResource::erase::<Lease>(&()));
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        if let Ok(events) = api.watch(&parameters, FROM_ANYWHERE).await {
            let mut events = pin!(events);
            while let Some(Ok(event)) = events.next().await {
                if is_free(&event) {
                    freed.notify_one();
                }
            }
        }
        sleep(pause).await;
    }
}

/// A Lease that was deleted is not free: its leader may not know yet.
fn is_free(event: &WatchEvent<DynamicObject>) -> bool {
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
    fn only_a_lease_that_nobody_holds_is_free() {
        assert!(is_free(&WatchEvent::Modified(lease(&json!({"holderIdentity": ""})))));
        assert!(is_free(&WatchEvent::Added(lease(&json!({})))));
        assert!(!is_free(&WatchEvent::Modified(lease(&json!({"holderIdentity": "a"})))));
        assert!(!is_free(&WatchEvent::Deleted(lease(&json!({})))));
    }
}
