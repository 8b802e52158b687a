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
pub(super) struct Looks {
    told: u64,
    under_way: HashMap<Key, UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    looks: usize,
    last_told: u64,
}

// === impl Looks ===

impl Looks {
    pub(super) fn begin(&mut self, at: Key) -> Began {
        self.under_way.entry(at).or_default().looks += 1;
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
            under_way.looks -= 1;
            if under_way.looks == 0 {
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
        let mut looks = Looks::default();
        let first = looks.begin(at.clone());
        looks.tell(&other);
        assert!(!looks.is_overtaken(&at, first));
        looks.tell(&at);
        let second = looks.begin(at.clone());
        assert!(looks.is_overtaken(&at, first));
        assert!(!looks.is_overtaken(&at, second));
        looks.end(&at);
        assert!(!looks.is_overtaken(&at, second));
        looks.end(&at);
        assert!(looks.under_way.is_empty());
    }
}
