//! Input and output of `observe` beside the sync and what exists.

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::reviews::Consents;
use crate::reviews::Reviewer;
use crate::state::excerpts::KeptExcerpt;
use crate::state::retries::FailedAttempt;
use crate::state::retries::HeldBack;

/// What `observe` uses.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is known of the cluster.
    pub cache: &'a Cache,
    /// Reads what is not known.
    pub reader: &'a Reader,
    /// Asks what ServiceAccounts are allowed to do.
    pub reviewer: &'a Reviewer,
    /// The reads and writes that must wait, as of the start of the reconcile. Delays that end
    /// during the reconcile count for the next one, so that each write is attempted once.
    pub held_back: HeldBack<'a>,
    /// The excerpt from the last read of the source.
    pub excerpt: Option<&'a KeptExcerpt>,
    /// Whether writes of a crashed leader may still take effect.
    pub has_late_writes: bool,
}

/// The results of the reads of an observation.
#[derive(Debug, Default)]
pub struct Reads {
    /// The failed read of a namespace that the selector may select.
    pub failed_namespaces: Option<FailedAttempt>,
    /// The read of the source of this name; `None` if it was not read.
    pub source: Option<(NamespacedName, Result<(), FailedAttempt>)>,
    /// The excerpt to keep, if there is a new one.
    pub excerpt: Option<KeptExcerpt>,
    /// The failed reads of copies.
    pub failed_copies: Vec<(NamespacedName, FailedAttempt)>,
    /// The permissions that the observation rests on.
    pub consents: Consents,
}

// === impl View ===

impl<'a> View<'a> {
    /// A view without state from earlier reconciles.
    #[must_use]
    pub const fn new(cache: &'a Cache, reader: &'a Reader, reviewer: &'a Reviewer) -> Self {
        Self {
            cache,
            reader,
            reviewer,
            held_back: HeldBack::nothing(),
            excerpt: None,
            has_late_writes: false,
        }
    }
}
