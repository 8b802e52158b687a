//! O3: every marked copy has a living sync.

use crate::oracle::copy_identity::Identity;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The marked copies at the end of the history whose sync is dead, or has another name than they
/// say.
#[must_use]
pub fn violations(history: &History) -> Vec<String> {
    let end = history.end();
    let mut found = Vec::new();
    for copy in history.present(Kind::ConfigMap, end) {
        let Some(identity) = Identity::of(&copy.object, &copy.at) else { continue };
        let sync = history.sync(&identity.uid, end);
        if sync.is_none_or(|sync| sync.at.to_string() != identity.sync) {
            let Identity { uid, sync } = identity;
            found.push(format!("{} is a copy of {sync} ({uid}), which is not there", copy.at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    #[test]
    fn a_copy_that_outlives_its_sync_is_an_orphan() {
        let mut story = Story::with_copy();
        assert_eq!(violations(&story.history()).len(), 0);
        story.sync_gone();
        assert_eq!(violations(&story.history()).len(), 1);
        story.delete_copy();
        assert_eq!(violations(&story.history()).len(), 0);
    }

    #[test]
    fn a_clone_of_a_copy_is_no_orphan() {
        let mut story = Story::with_copy();
        story.clone_copy("elsewhere");
        story.sync_gone();
        story.delete_copy();
        assert_eq!(violations(&story.history()).len(), 0);
    }
}
