//! The excerpt of the source of each sync that copies only some of its keys.
//!
//! An excerpt (hash and number of the selected keys) saves reads of the source while source and
//! sync are unchanged. Syncs that copy all keys need none: the cache has the digest of the source.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::api::SourceVersion;
use crate::decide::excerpt::Excerpt;

/// An excerpt, and the versions of source and sync that it was computed from.
#[derive(Clone, Debug)]
pub struct KeptExcerpt {
    pub source: SourceVersion,
    pub generation: Option<i64>,
    pub excerpt: Excerpt,
}

/// The last excerpt of each sync, by uid.
#[derive(Debug, Default)]
pub struct Excerpts {
    syncs: Mutex<HashMap<Box<str>, Box<KeptExcerpt>>>,
}

// === impl KeptExcerpt ===

impl KeptExcerpt {
    /// The excerpt, if it was computed from exactly this source and generation.
    pub fn of(&self, source: &SourceVersion, generation: Option<i64>) -> Option<&Excerpt> {
        (self.source == *source && self.generation == generation).then_some(&self.excerpt)
    }
}

// === impl Excerpts ===

impl Excerpts {
    /// The last excerpt for this sync.
    pub fn get(&self, sync_uid: &str) -> Option<KeptExcerpt> {
        self.syncs.lock().get(sync_uid).map(|kept| (**kept).clone())
    }

    /// Keeps `excerpt` in place of the previous one.
    pub fn keep(&self, sync_uid: &str, excerpt: KeptExcerpt) {
        self.syncs.lock().insert(sync_uid.into(), Box::new(excerpt));
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.syncs.lock().remove(sync_uid);
    }
}
