//! Reads that are under way, and whether something was told meanwhile.
//!
//! A read without a resourceVersion answers with something at least as new as all that was known
//! when it began (Kubernetes API concepts, "semantics for get and list"). What was told while it
//! was under way may be newer than its answer: a read cannot take that back.

use std::collections::HashMap;

use crate::cache::key::Key;

/// When a read began, among all that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Began(u64);

/// The reads that are under way.
#[derive(Debug, Default)]
pub(super) struct ReadsInFlight {
    told: u64,
    under_way: HashMap<Key, UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    reads: usize,
    last_told: u64,
}

// === impl ReadsInFlight ===

impl ReadsInFlight {
    pub(super) fn begin(&mut self, at: Key) -> Began {
        self.under_way.entry(at).or_default().reads += 1;
        Began(self.told)
    }

    /// Something was told of `at`.
    pub(super) fn tell(&mut self, at: &Key) {
        if let Some(under_way) = self.under_way.get_mut(at) {
            self.told += 1;
            under_way.last_told = self.told;
        }
    }

    /// Whether something was told of `at` since a read began that is still under way.
    pub(super) fn is_overtaken(&self, at: &Key, began: Began) -> bool {
        self.under_way.get(at).is_some_and(|under_way| Began(under_way.last_told) > began)
    }

    pub(super) fn end(&mut self, at: &Key) {
        if let Some(under_way) = self.under_way.get_mut(at) {
            under_way.reads -= 1;
            if under_way.reads == 0 {
                self.under_way.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::namespaced_name::NamespacedName;

    #[test]
    fn what_was_told_overtakes_the_reads_that_were_under_way_and_no_later_ones() {
        let key = |name: &str| Key::from(&NamespacedName::new("app", name));
        let (at, other) = (key("shared"), key("other"));
        let mut reads = ReadsInFlight::default();
        let first = reads.begin(at.clone());
        reads.tell(&other);
        assert!(!reads.is_overtaken(&at, first));
        reads.tell(&at);
        let second = reads.begin(at.clone());
        assert!(reads.is_overtaken(&at, first));
        assert!(!reads.is_overtaken(&at, second));
        reads.end(&at);
        assert!(!reads.is_overtaken(&at, second));
        reads.end(&at);
        assert!(reads.under_way.is_empty());
    }
}
