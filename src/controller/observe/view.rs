//! What an observation is made from.

use crate::cache::Cache;
use crate::cache::Reader;
use crate::controller::excerpts::KeptExcerpt;
use crate::controller::retries::HeldBack;

/// What an observation is made from.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is known of the cluster.
    pub cache: &'a Cache,
    /// Reads what is not known.
    pub reader: &'a Reader,
    /// The reads and writes that must wait, as of the start of the reconcile: a delay that ends
    /// later is over for the next reconcile only, so that a reconcile attempts each write at most
    /// once.
    pub held_back: HeldBack<'a>,
    /// What the last read of the source found.
    pub excerpt: Option<&'a KeptExcerpt>,
}

// === impl View ===

impl<'a> View<'a> {
    /// An observation without earlier reconciles: nothing must wait.
    #[must_use]
    pub const fn new(cache: &'a Cache, reader: &'a Reader) -> Self {
        Self { cache, reader, held_back: HeldBack::nothing(), excerpt: None }
    }
}
