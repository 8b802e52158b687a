//! What of a source is copied: all of it, or the keys that the spec lists.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::content::Digest;

/// What is known of the part of a source that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// What the hash annotation of each copy must equal: the hash of the part, and of the
    /// metadata that is stamped besides.
    pub hash: ContentHash,
    /// How many keys the part has.
    pub keys: usize,
    /// Keys that the spec lists and the source lacks.
    pub missing: Vec<String>,
}

// === impl Excerpt ===

impl Excerpt {
    /// What a source that was read as `digest` gives to a sync that copies all keys; `None` if
    /// the sync lists keys, so that only the content can tell.
    #[must_use]
    pub fn of_all_keys(digest: &Digest, spec: &ConfigMapSyncSpec) -> Option<Self> {
        let hash = || hash_with_metadata(&digest.hash, spec);
        match spec.keys {
            None => Some(Self { hash: hash(), keys: digest.keys, missing: Vec::new() }),
            Some(_) => None,
        }
    }

    /// What an earlier round told of the same version of the source: by its hash and how many
    /// keys the copies had. `None` if keys were missing, since which ones is not known.
    #[must_use]
    pub fn remembered(hash: ContentHash, keys: usize, spec: &ConfigMapSyncSpec) -> Option<Self> {
        let all_there = spec.keys.as_ref().is_none_or(|listed| listed.len() == keys);
        all_there.then(|| Self { hash, keys, missing: Vec::new() })
    }
}

/// The part of `content` that `spec` asks for. `digest` is that of the whole content.
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
    fn without_a_list_it_is_the_whole_source() {
        let whole = content(&["a", "b"]);
        let (known, part) = of(&whole, &ConfigMapSyncSpec::default());
        assert!(Arc::ptr_eq(&whole, &part), "it is not copied");
        assert_eq!(known.hash, whole.hash());
    }

    #[test]
    fn with_a_list_it_is_what_a_source_of_these_keys_alone_would_be() {
        let (known, part) = of(&content(&["a", "b", "c"]), &listing(&["c", "a"]));
        assert_eq!(part, content(&["a", "c"]));
        assert_eq!(known, Excerpt { hash: part.hash(), keys: 2, missing: vec![] });
    }

    #[test]
    fn a_listed_key_that_is_not_there_is_named() {
        let (known, part) = of(&content(&["a"]), &listing(&["b", "a"]));
        assert_eq!(part, content(&["a"]));
        assert_eq!(known.missing, ["b"]);
    }

    #[test]
    fn an_earlier_round_is_believed_only_if_no_key_was_missing() {
        let hash = ContentHash::from_text("v1:00");
        assert!(Excerpt::remembered(hash.clone(), 2, &listing(&["a", "b"])).is_some());
        assert!(Excerpt::remembered(hash.clone(), 1, &listing(&["a", "b"])).is_none());
        assert!(Excerpt::remembered(hash, 7, &ConfigMapSyncSpec::default()).is_some());
    }
}
