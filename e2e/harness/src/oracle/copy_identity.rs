//! The marks on a copy, read without the operator's own code.

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use serde_json::Value;

/// The marks that prove a copy: whose it is, and that it is this very one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The uid of the sync.
    pub uid: String,
    /// The sync's `namespace/name`.
    pub sync: String,
}

impl Identity {
    /// The identity of what is at `at`, if its marks agree.
    #[must_use]
    pub fn of(object: &Value, at: &NamespacedName) -> Option<Self> {
        let uid = label(object, names::LABEL_SYNC_UID)?;
        let sync = annotation(object, names::ANNOTATION_SYNC)?;
        let names_itself = annotation(object, names::ANNOTATION_COPY)? == at.to_string();
        names_itself.then(|| Self { uid: uid.to_owned(), sync: sync.to_owned() })
    }
}

/// Whether our POST made it.
pub(super) fn is_created(object: &Value) -> bool {
    annotation(object, names::ANNOTATION_CREATED) == Some("true")
}

pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(name)?.as_str()
}

pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}
