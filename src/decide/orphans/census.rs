//! What is counted of all orphans. They are decided on in batches, to limit the memory.

use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::orphans::candidate::CollectionMode;
use crate::decide::orphans::candidate::OrphanCandidate;
use crate::decide::orphans::collection_plan::Brake;
use crate::decide::orphans::due_state::DueState;
use crate::decide::orphans::due_state::due_state;

/// The brake never applies to this many orphans or fewer.
pub(super) const MIN_BRAKE_LIMIT: usize = 10;
/// The brake applies to more orphans than this fraction of all copies: one in five.
pub(super) const BRAKE_FRACTION: usize = 5;

/// How many candidates there are in all, and when the next one is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The number of candidates.
    pub candidates: usize,
    /// How many of them are due, whether or not the brake applies.
    pub due: usize,
    /// The shortest rest of a grace period, if any candidate waits.
    pub next_due: Option<Duration>,
    /// Those whose `ConfigMapSync` was never seen in this term.
    never_seen: usize,
    /// Whether one of these is due.
    is_never_seen_due: bool,
}

// === impl Census ===

impl Census {
    /// The census of these candidates.
    #[must_use]
    pub fn of<'a>(
        candidates: impl IntoIterator<Item = (&'a NamespacedName, &'a OrphanCandidate)>,
        mode: CollectionMode,
    ) -> Self {
        let mut census = Self::default();
        for (at, candidate) in candidates {
            census.count(at, candidate, mode);
        }
        census
    }

    /// Counts one more candidate.
    pub fn count(
        &mut self,
        at: &NamespacedName,
        candidate: &OrphanCandidate,
        mode: CollectionMode,
    ) {
        self.candidates += 1;
        match due_state(at, candidate, mode) {
            DueState::Kept(_) => {}
            DueState::Due => self.due += 1,
            DueState::NeverSeen { remaining: None } => {
                self.never_seen += 1;
                self.due += 1;
                self.is_never_seen_due = true;
            }
            DueState::NeverSeen { remaining: Some(remaining) } => {
                self.never_seen += 1;
                let next = self.next_due.map_or(remaining, |next| next.min(remaining));
                self.next_due = Some(next);
            }
        }
    }

    /// The census of the candidates of both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            candidates: self.candidates + other.candidates,
            due: self.due + other.due,
            next_due: [self.next_due, other.next_due].into_iter().flatten().min(),
            never_seen: self.never_seen + other.never_seen,
            is_never_seen_due: self.is_never_seen_due || other.is_never_seen_due,
        }
    }

    /// The brake, among so many marked copies. It applies as soon as one orphan is due. It also counts
    /// those whose grace period has not elapsed: many that appear one after the other are as suspicious as
    /// many at once.
    #[must_use]
    pub fn brake(&self, marked_copies: usize) -> Option<Brake> {
        let limit = MIN_BRAKE_LIMIT.max(marked_copies / BRAKE_FRACTION);
        let applies = self.is_never_seen_due && self.never_seen > limit;
        applies.then_some(Brake { orphans: self.never_seen, limit })
    }
}
