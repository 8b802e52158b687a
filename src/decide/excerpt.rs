//! The part of a source that is copied: all keys, or the keys listed in `spec.keys`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::content::Digest;

/// Hash and keys of the part of a source that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The expected hash annotation of each copy: a hash of the copied content and of
    /// `spec.destinationMetadata`.
    pub hash: ContentHash,
    /// The number of copied keys.
    pub keys: usize,
    /// Keys in `spec.keys` that the source lacks.
    pub missing: Vec<String>,
}

// === impl Excerpt ===

impl Excerpt {
    /// The excerpt of a source with this `digest`, if `spec` copies all keys; otherwise `None`,
    /// because the content is required.
    #[must_use]
    pub fn of_all_keys(digest: &Digest, spec: &ConfigMapSyncSpec) -> Option<Self> {
        let hash = || hash_with_metadata(&digest.hash, spec);
        match spec.keys {
            None => Some(Self { hash: hash(), keys: digest.keys, missing: Vec::new() }),
            Some(_) => None,
        }
    }

    /// The excerpt that an earlier reconcile recorded for the same version of the source: hash and
    /// number of keys of the copies. `None` if keys were missing, because their names were not
    /// recorded.
    #[must_use]
    pub fn recorded(hash: ContentHash, keys: usize, spec: &ConfigMapSyncSpec) -> Option<Self> {
        let all_there = spec.keys.as_ref().is_none_or(|listed| listed.len() == keys);
        all_there.then(|| Self { hash, keys, missing: Vec::new() })
    }
}

/// The part of `content` that `spec` selects. `digest` is the digest of all of `content`.
#[must_use]
pub fn excerpt(
    content: &Arc<Content>,
    digest: &Digest,
    spec: &ConfigMapSyncSpec,
) -> (Excerpt, Arc<Content>) {
    if let Some(all) = Excerpt::of_all_keys(digest, spec) {
        return (all, Arc::clone(content));
    }
    let listed: BTreeSet<&str> = spec.keys.iter().flatten().map(String::as_str).collect();
    let part = content.only(&listed);
    let missing = listed.into_iter().filter(|key| !content.has(key)).map(str::to_owned);
    let excerpt = Excerpt {
        hash: hash_with_metadata(&part.hash(), spec),
        keys: part.keys(),
        missing: missing.collect(),
    };
    (excerpt, Arc::new(part))
}

fn hash_with_metadata(hash: &ContentHash, spec: &ConfigMapSyncSpec) -> ContentHash {
    spec.destination_metadata.as_ref().map_or_else(|| hash.clone(), |metadata| hash.with(metadata))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn content(keys: &[&str]) -> Arc<Content> {
        let data: BTreeMap<_, _> =
            keys.iter().map(|key| ((*key).to_owned(), "value".to_owned())).collect();
        Arc::new(Content { data, ..Content::default() })
    }

    fn listing(keys: &[&str]) -> ConfigMapSyncSpec {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        ConfigMapSyncSpec { keys: Some(keys), ..ConfigMapSyncSpec::default() }
    }

    fn of(content: &Arc<Content>, spec: &ConfigMapSyncSpec) -> (Excerpt, Arc<Content>) {
        excerpt(content, &content.digest(), spec)
    }

    #[test]
    fn without_spec_keys_all_keys_are_copied() {
        let all = content(&["a", "b"]);
        let (known, part) = of(&all, &ConfigMapSyncSpec::default());
        assert!(Arc::ptr_eq(&all, &part), "the content is shared, not cloned");
        assert_eq!(known.hash, all.hash());
    }

    #[test]
    fn with_spec_keys_only_these_keys_are_copied() {
        let (known, part) = of(&content(&["a", "b", "c"]), &listing(&["c", "a"]));
        assert_eq!(part, content(&["a", "c"]));
        assert_eq!(known, Excerpt { hash: part.hash(), keys: 2, missing: vec![] });
    }

    #[test]
    fn a_listed_key_that_the_source_lacks_is_reported() {
        let (known, part) = of(&content(&["a"]), &listing(&["b", "a"]));
        assert_eq!(part, content(&["a"]));
        assert_eq!(known.missing, ["b"]);
    }

    #[test]
    fn a_record_is_used_only_if_no_key_was_missing() {
        let hash = ContentHash::from_text("v1:00");
        assert!(Excerpt::recorded(hash.clone(), 2, &listing(&["a", "b"])).is_some());
        assert!(Excerpt::recorded(hash.clone(), 1, &listing(&["a", "b"])).is_none());
        assert!(Excerpt::recorded(hash, 7, &ConfigMapSyncSpec::default()).is_some());
    }
}
