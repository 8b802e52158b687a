//! What an uninstallation has not done, with the kubectl command that does it.

use std::collections::HashMap;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::copy_writes::CopyWrite;
use crate::uninstall::finalizers::SyncWithFinalizer;

/// How many objects are listed.
const MAX_LISTED: usize = 20;
/// How many messages of failed writes are kept for the list.
const MAX_MESSAGES: usize = 1_000;

/// What is left of an uninstallation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The first objects.
    pub first: Vec<LeftObject>,
    /// The number of copies.
    pub copies: usize,
    /// The number of syncs.
    pub syncs: usize,
    /// The number of `ClusterRoleBindings` and `RoleBindings`.
    pub bindings: usize,
}

/// An object that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftObject {
    /// Kind and name.
    pub object: String,
    /// Why.
    pub why: String,
    /// The command that finishes it.
    pub command: String,
}

/// Why objects could not be written, by name. Two kinds may share a name, so there is one per kind.
#[derive(Debug, Default)]
pub struct Refusals(HashMap<NamespacedName, String>);

// === impl Left ===

impl Left {
    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.objects() == 0
    }

    /// How many objects are left.
    #[must_use]
    pub const fn objects(&self) -> usize {
        self.copies + self.syncs + self.bindings
    }

    /// The numbers as text: `3 ConfigMaps and 1 ConfigMapSyncs`.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = [
            (self.copies, "ConfigMaps"),
            (self.syncs, "ConfigMapSyncs"),
            (self.bindings, "bindings"),
        ];
        let some = counts.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(" and ")
    }

    pub(super) fn add_copy(&mut self, write: &CopyWrite, refusals: &Refusals) {
        self.copies += 1;
        self.list(|| LeftObject {
            object: format!("ConfigMap {}", write.at),
            why: refusals.why(&write.at),
            command: copy_command(&write.at, &write.action),
        });
    }

    pub(super) fn add_sync(&mut self, sync: &SyncWithFinalizer, refusals: &Refusals) {
        self.syncs += 1;
        self.list(|| LeftObject {
            object: format!("ConfigMapSync {}", sync.name),
            why: refusals.why(&sync.name),
            command: finalizer_command(&sync.name, &sync.finalizers),
        });
    }

    pub(super) fn add_binding(&mut self, name: &str, why: String) {
        self.bindings += 1;
        self.list(|| LeftObject {
            object: format!("ClusterRoleBinding {name}"),
            why,
            command: format!("kubectl delete clusterrolebinding {name}"),
        });
    }

    pub(super) fn add_role_binding(&mut self, at: &NamespacedName, why: String) {
        let NamespacedName { namespace, name } = at;
        self.bindings += 1;
        self.list(|| LeftObject {
            object: format!("RoleBinding {at}"),
            why,
            command: format!("kubectl --namespace {namespace} delete rolebinding {name}"),
        });
    }

    fn list(&mut self, object: impl FnOnce() -> LeftObject) {
        if self.first.len() < MAX_LISTED {
            self.first.push(object());
        }
    }
}

// === impl Refusals ===

impl Refusals {
    pub(super) fn extend(&mut self, refused: Vec<(NamespacedName, String)>) {
        for (object, why) in refused {
            if self.0.len() < MAX_MESSAGES || self.0.contains_key(&object) {
                self.0.insert(object, why);
            }
        }
    }

    fn why(&self, object: &NamespacedName) -> String {
        let not_refused = || "it was changed again after each write, or was not reached in time";
        self.0.get(object).cloned().unwrap_or_else(|| not_refused().to_owned())
    }
}

/// The command that does what `action` was to do.
fn copy_command(at: &NamespacedName, action: &Action) -> String {
    let NamespacedName { namespace, name } = at;
    let kubectl = format!("kubectl --namespace {namespace}");
    match action {
        Action::Delete { .. } => format!("{kubectl} delete configmap {name}"),
        // Without the label, the operator does not recognize it.
        Action::Release { .. } => {
            format!("{kubectl} label configmap {name} {}-", names::LABEL_SYNC_UID)
        }
        _ => format!("{kubectl} annotate configmap {name} {}-", names::ANNOTATION_DELETION_POLICY),
    }
}

/// The command that removes our finalizer and keeps the others.
fn finalizer_command(sync: &NamespacedName, finalizers: &[String]) -> String {
    let NamespacedName { namespace, name } = sync;
    let patch = requests::remove_finalizers(finalizers);
    // A patch of strings can be serialized.
    let patch = serde_json::to_string(&patch).unwrap_or_default();
    format!(
        "kubectl --namespace {namespace} patch configmapsync {name} --type=json --patch='{patch}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::observed::Version;
    use crate::decide::stamp::Stamp;

    #[test]
    fn each_action_has_a_command() {
        let at = NamespacedName::new("app", "shared");
        let seen = Version { uid: "1".into(), resource_version: "2".into() };
        let rows = [
            (Action::Delete { seen: seen.clone() }, "delete configmap shared"),
            (
                Action::Release { seen: seen.clone(), stamp: Stamp::default() },
                "label configmap shared apps.nishaf.info/configmapsync-uid-",
            ),
            (
                Action::Restamp { seen, stamp: Stamp::default() },
                "annotate configmap shared apps.nishaf.info/deletion-policy-",
            ),
        ];
        for (action, expected) in rows {
            assert_eq!(copy_command(&at, &action), format!("kubectl --namespace app {expected}"));
        }
    }

    #[test]
    fn the_command_keeps_finalizers_of_others() {
        let finalizers = ["other".to_owned(), names::FINALIZER.to_owned()];
        let command = finalizer_command(&NamespacedName::new("team", "settings"), &finalizers);
        assert!(command.contains("\"path\":\"/metadata/finalizers/1\""), "{command}");
        assert!(!command.contains("/metadata/finalizers/0"), "{command}");
    }

    #[test]
    fn the_list_is_limited_and_the_count_is_not() {
        let mut left = Left::default();
        for number in 0..30 {
            left.add_binding(&number.to_string(), String::new());
        }
        assert_eq!((left.first.len(), left.objects()), (MAX_LISTED, 30));
        assert_eq!(left.summary(), "30 bindings");
    }
}
