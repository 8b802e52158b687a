//! The terms of the leaders, in etcd revisions.

use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// A term: one pod is the leader from its revision to that of the next term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The revision at which it starts.
    pub revision: u64,
    /// The uid of the leader's pod; empty without a leader.
    pub pod: String,
}

/// All terms, in order: from the leader records, or, in a history without any, from the holders of the
/// Lease.
#[must_use]
pub fn terms(history: &History) -> Vec<Term> {
    let has_records = history.changes(Kind::Leader).next().is_some();
    let kind = if has_records { Kind::Leader } else { Kind::Lease };
    let mut terms: Vec<Term> = Vec::new();
    let mut last = None;
    for change in history.changes(kind) {
        // A renewal starts no term.
        let holder = holder(change);
        if last.as_ref() != Some(&holder) {
            terms.push(Term { revision: change.revision, pod: pod(change, &holder) });
            last = Some(holder);
        }
    }
    terms
}

/// The index of the term of a write at a revision: the newest that started before it.
#[must_use]
pub fn at(terms: &[Term], revision: u64) -> Option<usize> {
    terms.partition_point(|term| term.revision < revision).checked_sub(1)
}

/// How many times the holder of the Lease changed to another process. A release alone does not count.
#[must_use]
pub fn transitions(history: &History) -> usize {
    let holders = history.changes(Kind::Lease).map(holder).filter(|holder| !holder.is_empty());
    let mut holders: Vec<_> = holders.collect();
    holders.dedup();
    holders.len().saturating_sub(1)
}

/// The leading process after a change; empty without one.
fn holder(change: &Change) -> String {
    let spec = &change.object["spec"];
    let field = if change.kind == Kind::Leader { "holder" } else { "holderIdentity" };
    if change.deleted { String::new() } else { spec[field].as_str().unwrap_or_default().to_owned() }
}

/// The uid of its pod: a field of a leader record, and the end of the holder identity.
fn pod(change: &Change, holder: &str) -> String {
    let recorded = change.object["spec"]["podUID"].as_str().filter(|_| !change.deleted);
    let pod = recorded.or_else(|| holder.rsplit_once('_').map(|(_, pod)| pod));
    pod.unwrap_or(holder).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    #[test]
    fn a_renewal_starts_no_term() {
        let mut sample = SampleHistory::with_copy();
        for holder in ["a", "a", "", "b", "b"] {
            sample.lease(holder);
        }
        let terms = terms(&sample.history());
        let pods: Vec<_> = terms.iter().map(|term| term.pod.as_str()).collect();
        assert_eq!(pods, ["a", "", "b"]);
        assert_eq!(at(&terms, terms[0].revision), None, "a term starts after its revision");
        assert_eq!(at(&terms, terms[2].revision), Some(1));
        assert_eq!(transitions(&sample.history()), 1);
    }

    #[test]
    fn leader_records_take_precedence_over_the_lease() {
        let mut sample = SampleHistory::with_leader("a");
        sample.lease("b");
        let terms = terms(&sample.history());
        assert_eq!(terms.iter().map(|term| term.pod.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
