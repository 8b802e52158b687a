//! Whether two leaders write at the same time, from the order in which writes are stored.
//!
//! A term begins with the publication of the leader record; without the fence, with the acquired
//! Lease. Terms are interleaved if a write of a term is stored after one of a later term. Between
//! the beginning of a term and its first write, a last write of the previous term may be stored. A
//! write belongs to the newest term of its pod.

use crate::config::MAX_REPLICAS;
use crate::state::Pod;

/// The newest term of each pod, in the order in which they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Terms {
    terms: [Option<Term>; MAX_REPLICAS],
    are_interleaved: bool,
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
        self.are_interleaved |= is_over;
        for term in self.terms.iter_mut().take(own.unwrap_or_default()).flatten() {
            term.is_over = true;
        }
    }

    /// Whether a write was stored after a write of a later term.
    pub const fn are_interleaved(&self) -> bool {
        self.are_interleaved
    }

    /// Whether a term of another pod has begun after the newest of `pod`.
    pub fn are_superseded(&self, pod: Pod) -> bool {
        let newest = self.terms.iter().flatten().next_back();
        newest.is_some_and(|term| term.pod != pod)
    }

    /// Whether a write of a later term has ended a term.
    pub fn any_is_over(&self) -> bool {
        self.terms.iter().flatten().any(|term| term.is_over)
    }

    /// The same, with the pods renamed.
    pub fn renamed(&self, name: impl Fn(Pod) -> Pod + Copy) -> Self {
        let renamed = |term: Term| Term { pod: name(term.pod), ..term };
        Self { terms: self.terms.map(|term| term.map(renamed)), ..*self }
    }
}

#[test]
fn a_write_after_one_of_a_later_term_interleaves_terms() {
    let are_interleaved = |events: &[(&str, Pod)]| {
        let mut terms = Terms::default();
        for (event, pod) in events {
            match *event {
                "leads" => terms.begin(*pod),
                _ => terms.write(*pod),
            }
        }
        terms.are_interleaved()
    };
    let (leads, writes) = ("leads", "writes");
    assert!(!are_interleaved(&[(leads, 0), (writes, 0), (leads, 1), (writes, 0), (writes, 1)]));
    assert!(are_interleaved(&[(leads, 0), (leads, 1), (writes, 1), (writes, 0)]));
    assert!(are_interleaved(&[(leads, 0), (leads, 1), (writes, 1), (leads, 2), (writes, 0)]));
    assert!(are_interleaved(&[(leads, 0), (leads, 1), (leads, 2), (writes, 1), (writes, 0)]));
    assert!(!are_interleaved(&[(leads, 0), (leads, 1), (writes, 1), (leads, 0), (writes, 0)]));
    assert!(are_interleaved(&[(writes, 0)]), "no term has begun");
}
