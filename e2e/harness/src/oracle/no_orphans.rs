//! O3: every copy has an existing `ConfigMapSync`. Orphans are collected within a minute, so this is
//! checked at the end of a history only.

use crate::oracle::copy_identity::Identity;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The copies at the end of the history whose ownership markers name a `ConfigMapSync` that does not
/// exist: its uid does not exist, or belongs to another name.
#[must_use]
pub fn violations(history: &History) -> Vec<String> {
    let end = history.end();
    let mut found = Vec::new();
    for copy in history.present(Kind::ConfigMap, end) {
        let Some(identity) = Identity::of(&copy.object, &copy.at) else { continue };
        let sync = history.sync(&identity.uid, end);
        if sync.is_none_or(|sync| sync.at.to_string() != identity.sync) {
            let Identity { uid, sync } = identity;
            found
                .push(format!("{} is a copy of {sync} (uid {uid}), which does not exist", copy.at));
        }
    }
    found
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
    fn a_clone_of_a_copy_is_not_an_orphan() {
        let mut sample = SampleHistory::with_copy();
        sample.clone_copy("elsewhere");
        sample.delete_sync();
        sample.delete_copy();
        assert_eq!(violations(&sample.history()).len(), 0);
    }
}
