//! The excerpt of the source of a sync that copies only some of its keys.
//!
//! An excerpt (hash and number of the selected keys) saves reads of the source while source and
//! sync are unchanged. Syncs that copy all keys need none: the cache has the digest of the source.

use crate::api::SourceVersion;
use crate::decide::excerpt::Excerpt;

/// An excerpt, and the versions of source and sync that it was computed from.
#[derive(Clone, Debug)]
pub struct KeptExcerpt {
    pub source: SourceVersion,
    pub generation: Option<i64>,
    pub excerpt: Excerpt,
}

// === impl KeptExcerpt ===

impl KeptExcerpt {
    /// The excerpt, if it was computed from exactly this source and generation.
    pub fn of(&self, source: &SourceVersion, generation: Option<i64>) -> Option<&Excerpt> {
        (self.source == *source && self.generation == generation).then_some(&self.excerpt)
    }
}
