//! A set that mostly has one element: most sources have one sync, most syncs one copy.

use std::collections::BTreeSet;

/// A set of at least one element. A single element takes no node of a tree, which would be ten
/// times its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Few<T> {
    One(T),
    Many(BTreeSet<T>),
}

// === impl Few ===

impl<T: Ord> Few<T> {
    /// `set` with `element` added.
    pub(super) fn insert(set: Option<Self>, element: T) -> Self {
        match set {
            None => Self::One(element),
            Some(Self::One(other)) if other == element => Self::One(other),
            Some(Self::One(other)) => Self::Many(BTreeSet::from([other, element])),
            Some(Self::Many(mut elements)) => {
                elements.insert(element);
                Self::Many(elements)
            }
        }
    }

    /// The set without `element`; `None` if that was the last one.
    pub(super) fn without(self, element: &T) -> Option<Self> {
        match self {
            Self::One(other) => (other != *element).then_some(Self::One(other)),
            Self::Many(mut elements) => {
                elements.remove(element);
                match elements.len() {
                    0 | 1 => elements.pop_first().map(Self::One),
                    _ => Some(Self::Many(elements)),
                }
            }
        }
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(elements) => elements.len(),
        }
    }

    /// The elements in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(element) => (Some(element), None),
            Self::Many(elements) => (None, Some(elements.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The first element that is not less than `bound`.
    pub(super) fn first_from(&self, bound: &T) -> Option<&T> {
        match self {
            Self::One(element) => (element >= bound).then_some(element),
            Self::Many(elements) => elements.range(bound..).next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_behaves_like_a_set(
            steps in proptest::collection::vec((any::<bool>(), 0..6_u8), 0..40)
        ) {
            let (mut few, mut set) = (None, BTreeSet::new());
            for (insert, element) in steps {
                if insert {
                    few = Some(Few::insert(few, element));
                    set.insert(element);
                } else {
                    few = few.and_then(|few: Few<u8>| few.without(&element));
                    set.remove(&element);
                }
                prop_assert!(few.iter().flat_map(Few::iter).eq(set.iter()));
                prop_assert_eq!(few.as_ref().map_or(0, Few::len), set.len());
                for bound in 0..6 {
                    let first = few.as_ref().and_then(|few| few.first_from(&bound));
                    prop_assert_eq!(first, set.range(bound..).next());
                }
            }
        }
    }
}
