//! The condition `Ready` of a ConfigMapSync.

use configmapsync::api::ConfigMapSync;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The condition `Ready`.
pub fn ready(sync: &ConfigMapSync) -> Option<&Condition> {
    sync.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// The reason of the condition `Ready`; empty without one.
pub fn reason(sync: &ConfigMapSync) -> &str {
    ready(sync).map_or("", |ready| ready.reason.as_str())
}

/// The message of the condition `Ready`; empty without one.
pub fn message(sync: &ConfigMapSync) -> &str {
    ready(sync).map_or("", |ready| ready.message.as_str())
}
