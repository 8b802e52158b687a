//! Live reads in flight, and whether an event has overtaken them.
//!
//! A read without a resourceVersion returns a state at least as new as everything known when it
//! began (Kubernetes API concepts, "semantics for get and list"). What is observed while it is in
//! flight may be newer than its response: the response must not revert it.

use std::collections::HashMap;

use crate::cache::key::Key;

/// When a read began, in the order of observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadStart(u64);

/// The live reads in flight.
#[derive(Debug, Default)]
pub(super) struct ReadsInFlight {
    observations: u64,
    by_key: HashMap<Key, OpenReads>,
}

#[derive(Debug, Default)]
struct OpenReads {
    reads: usize,
    last_observation: u64,
}

// === impl ReadsInFlight ===

impl ReadsInFlight {
    /// A read of `at` begins. Each call needs one of [`ReadsInFlight::end`].
    pub(super) fn begin(&mut self, at: Key) -> ReadStart {
        self.by_key.entry(at).or_default().reads += 1;
        ReadStart(self.observations)
    }

    /// Something was observed of `at`.
    pub(super) fn record_observation(&mut self, at: &Key) {
        if let Some(in_flight) = self.by_key.get_mut(at) {
            self.observations += 1;
            in_flight.last_observation = self.observations;
        }
    }

    /// Whether something was observed of `at` after the start of a read that is still in flight.
    pub(super) fn is_overtaken(&self, at: &Key, start: ReadStart) -> bool {
        self.by_key.get(at).is_some_and(|in_flight| ReadStart(in_flight.last_observation) > start)
    }

    /// A read of `at` ends, with or without a response.
    pub(super) fn end(&mut self, at: &Key) {
        if let Some(in_flight) = self.by_key.get_mut(at) {
            in_flight.reads -= 1;
            if in_flight.reads == 0 {
                self.by_key.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::namespaced_name::NamespacedName;

    #[test]
    fn an_observation_overtakes_only_reads_begun_before() {
        let key = |name: &str| Key::from(&NamespacedName::new("app", name));
        let (at, other) = (key("shared"), key("other"));
        let mut reads = ReadsInFlight::default();
        let first = reads.begin(at.clone());
        reads.record_observation(&other);
        assert!(!reads.is_overtaken(&at, first));
        reads.record_observation(&at);
        let second = reads.begin(at.clone());
        assert!(reads.is_overtaken(&at, first));
        assert!(!reads.is_overtaken(&at, second));
        reads.end(&at);
        assert!(!reads.is_overtaken(&at, second));
        reads.end(&at);
        assert!(reads.by_key.is_empty());
    }
}
