//! O3: every copy has an existing `ConfigMapSync`. Orphans are collected within a minute, so this is
//! checked at the end of a history only.

use serde_json::Value;

use crate::oracle::copy_identity::Identity;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The copies at the end of the history whose ownership markers name a `ConfigMapSync` that does not
/// exist: its uid does not exist, or belongs to another name.
///
/// A restored copy whose markers name a `ConfigMapSync` with a new uid belongs to it as soon as it is
/// Ready: one that is suspended, for example, takes over nothing yet.
#[must_use]
pub fn violations(history: &History) -> Vec<String> {
    let end = history.end();
    let syncs = history.present(Kind::Sync, end);
    let mut found = Vec::new();
    for copy in history.present(Kind::ConfigMap, end) {
        let Some(Identity { uid, sync }) = Identity::of(&copy.object, &copy.at) else { continue };
        let named = syncs.iter().find(|it| it.at.to_string() == sync);
        match named {
            Some(named) if named.object["metadata"]["uid"] == uid => {}
            Some(named) if !is_ready(&named.object) => {}
            Some(_) => found.push(format!(
                "{} is a copy of {sync} with the uid {uid}, which it has no more: it is Ready",
                copy.at
            )),
            None => found
                .push(format!("{} is a copy of {sync} (uid {uid}), which does not exist", copy.at)),
        }
    }
    found
}

fn is_ready(sync: &Value) -> bool {
    let conditions = sync["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    #[test]
    fn a_copy_without_its_sync_is_an_orphan() {
        let mut sample = SampleHistory::with_copy();
        assert_eq!(violations(&sample.history()).len(), 0);
        sample.delete_sync();
        assert_eq!(violations(&sample.history()).len(), 1);
        sample.delete_copy();
        assert_eq!(violations(&sample.history()).len(), 0);
    }

    #[test]
    fn a_restored_copy_belongs_to_the_new_sync_once_it_is_ready() {
        let mut sample = SampleHistory::with_copy();
        sample.delete_sync();
        sample.create_sync("2", "sync");
        assert_eq!(violations(&sample.history()).len(), 1, "it is Ready");
        sample.delete_sync();
        sample.create_suspended_sync("3");
        assert_eq!(violations(&sample.history()), Vec::<String>::new());
    }

    #[test]
    fn a_clone_of_a_copy_is_not_an_orphan() {
        let mut sample = SampleHistory::with_copy();
        sample.clone_copy("elsewhere");
        sample.delete_sync();
        sample.delete_copy();
        assert_eq!(violations(&sample.history()).len(), 0);
    }
}
