//! The ownership markers of a copy, parsed independently of the operator's code.

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use serde_json::Value;

/// The ownership markers that make a `ConfigMap` a copy: they name its `ConfigMapSync` and the copy
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uid of the `ConfigMapSync`.
    pub uid: String,
    /// The `ConfigMapSync`'s `namespace/name`.
    pub sync: String,
}

impl Identity {
    /// The identity of the object with the name `at`; `None` if a marker is missing, or names another
    /// copy, as in a clone.
    #[must_use]
    pub fn of(object: &Value, at: &NamespacedName) -> Option<Self> {
        let uid = label(object, names::LABEL_SYNC_UID)?;
        let sync = annotation(object, names::ANNOTATION_SYNC)?;
        let names_itself = annotation(object, names::ANNOTATION_COPY)? == at.to_string();
        names_itself.then(|| Self { uid: uid.to_owned(), sync: sync.to_owned() })
    }
}

/// Whether its markers state that the operator created it, and did not adopt it.
pub(super) fn is_created(object: &Value) -> bool {
    annotation(object, names::ANNOTATION_CREATED) == Some("true")
}

pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(name)?.as_str()
}

pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}
