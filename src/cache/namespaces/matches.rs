//! Which selectors match the labels of a namespace that are too large to be kept.

use kube::core::Selector;
use sha2::Digest as _;
use sha2::Sha256;

use crate::cache::stored_namespace::ShortHash;

/// How many selectors are remembered, the latest ones. Their hashes take 2 KiB.
const MAX_SELECTORS: usize = 128;

/// Whether selectors match labels, as reads have shown.
#[derive(Debug, Default)]
pub(super) struct Matches(Vec<(ShortHash, bool)>);

// === impl Matches ===

impl Matches {
    /// Whether `selector` matches; `None` if that is not remembered.
    pub(super) fn get(&self, selector: &Selector) -> Option<bool> {
        let selector = (!self.0.is_empty()).then(|| hash(selector))?;
        self.0.iter().find(|(known, _)| *known == selector).map(|(_, is_match)| *is_match)
    }

    pub(super) fn insert(&mut self, selector: &Selector, is_match: bool) {
        let selector = hash(selector);
        self.0.retain(|(known, _)| *known != selector);
        if self.0.len() == MAX_SELECTORS {
            self.0.remove(0);
        }
        self.0.push((selector, is_match));
    }
}

fn hash(selector: &Selector) -> ShortHash {
    // Plain data: serialization cannot fail.
    let json = serde_json::to_vec(selector).unwrap_or_default();
    ShortHash::of(Sha256::new_with_prefix(json))
}

#[cfg(test)]
mod tests {
    use kube::core::Expression;

    use super::*;

    #[test]
    fn the_latest_selectors_are_remembered() {
        let selector = |number: usize| Selector::from(Expression::Exists(format!("key-{number}")));
        let mut matches = Matches::default();
        for number in 0..=MAX_SELECTORS {
            matches.insert(&selector(number), number % 2 == 0);
        }
        assert_eq!(matches.get(&selector(0)), None);
        assert_eq!(matches.get(&selector(1)), Some(false));
        assert_eq!(matches.get(&selector(MAX_SELECTORS)), Some(true));
        matches.insert(&selector(1), true);
        assert_eq!(matches.get(&selector(1)), Some(true));
        assert_eq!(matches.get(&selector(2)), Some(true), "the same selector takes no more room");
    }
}
