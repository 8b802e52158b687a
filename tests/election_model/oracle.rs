//! One writer at a time, judged by what was stored, in the order in which it was.
//!
//! A term begins with an announcement (without the fence: with the Lease taken). Terms do not mix:
//! once a write of a term is stored, none of an earlier term is. Between the beginning of a term
//! and its first write, a last write of the term before may land. Whose a write is, the pod tells:
//! it belongs to the newest term of the pod.

use crate::rules::MOST;
use crate::world::Pod;

/// The newest term of each pod, the latest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Terms {
    terms: [Option<Term>; MOST],
    are_mixed: bool,
}

/// A term of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Term {
    pod: Pod,
    /// Whether a write of a later term has been stored.
    is_over: bool,
}

// === impl Terms ===

impl Terms {
    /// A term of `pod` begins.
    pub fn begin(&mut self, pod: Pod) {
        let others = self.terms.into_iter().flatten().filter(|term| term.pod != pod);
        let mut terms = others.chain([Term { pod, is_over: false }]);
        self.terms = [terms.next(), terms.next(), terms.next()];
    }

    /// A write of `pod` is stored.
    pub fn write(&mut self, pod: Pod) {
        let own = self.terms.iter().position(|term| term.is_some_and(|term| term.pod == pod));
        let is_over = own.is_none_or(|own| self.terms[own].is_some_and(|term| term.is_over));
        self.are_mixed |= is_over;
        for term in self.terms.iter_mut().take(own.unwrap_or_default()).flatten() {
            term.is_over = true;
        }
    }

    /// Whether a write was stored after one of a later term.
    pub const fn are_mixed(&self) -> bool {
        self.are_mixed
    }

    /// Whether a later term than the newest of `pod` has begun.
    pub fn have_passed(&self, pod: Pod) -> bool {
        let newest = self.terms.iter().flatten().next_back();
        newest.is_some_and(|term| term.pod != pod)
    }

    /// Whether a term has ended by a write of a later one.
    pub fn one_is_over(&self) -> bool {
        self.terms.iter().flatten().any(|term| term.is_over)
    }

    /// The same, with the pods renamed.
    pub fn renamed(&self, name: impl Fn(Pod) -> Pod + Copy) -> Self {
        let renamed = |term: Term| Term { pod: name(term.pod), ..term };
        Self { terms: self.terms.map(|term| term.map(renamed)), ..*self }
    }
}

#[test]
fn terms_mix_when_a_write_follows_one_of_a_later_term() {
    let are_mixed = |story: &[(&str, Pod)]| {
        let mut terms = Terms::default();
        for (event, pod) in story {
            match *event {
                "leads" => terms.begin(*pod),
                _ => terms.write(*pod),
            }
        }
        terms.are_mixed()
    };
    let (leads, writes) = ("leads", "writes");
    assert!(!are_mixed(&[(leads, 0), (writes, 0), (leads, 1), (writes, 0), (writes, 1)]));
    assert!(are_mixed(&[(leads, 0), (leads, 1), (writes, 1), (writes, 0)]));
    assert!(are_mixed(&[(leads, 0), (leads, 1), (writes, 1), (leads, 2), (writes, 0)]));
    assert!(are_mixed(&[(leads, 0), (leads, 1), (leads, 2), (writes, 1), (writes, 0)]));
    assert!(!are_mixed(&[(leads, 0), (leads, 1), (writes, 1), (leads, 0), (writes, 0)]));
    assert!(are_mixed(&[(writes, 0)]), "nobody leads");
}
