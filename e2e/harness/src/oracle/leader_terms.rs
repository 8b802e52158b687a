//! Who led when, by revisions alone.

use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// A time in which nobody else may write: from its revision to that of the next term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The revision that began it.
    pub revision: u64,
    /// The uid of the pod that leads; empty if nobody does.
    pub pod: String,
}

/// Every term, in order: as announced by `ConfigMapSyncLeader`s, or, where nobody announces
/// anything, as the holders of the Lease.
#[must_use]
pub fn terms(history: &History) -> Vec<Term> {
    let announced = history.changes(Kind::Leader).next().is_some();
    let kind = if announced { Kind::Leader } else { Kind::Lease };
    let mut terms: Vec<Term> = Vec::new();
    let mut last = None;
    for change in history.changes(kind) {
        // A Lease that is renewed is of the same holder.
        let holder = holder(change);
        if last.as_ref() != Some(&holder) {
            terms.push(Term { revision: change.revision, pod: pod(change, &holder) });
            last = Some(holder);
        }
    }
    terms
}

/// Whose term a write at a revision falls into: the newest that began before it.
#[must_use]
pub fn at(terms: &[Term], revision: u64) -> Option<usize> {
    terms.partition_point(|term| term.revision < revision).checked_sub(1)
}

/// How many times the Lease came to be held by another process, from one that held it, or that had
/// released it.
#[must_use]
pub fn transitions(history: &History) -> usize {
    let holders = history.changes(Kind::Lease).map(holder).filter(|holder| !holder.is_empty());
    let mut holders: Vec<_> = holders.collect();
    holders.dedup();
    holders.len().saturating_sub(1)
}

/// The process that leads after a change; empty if none does.
fn holder(change: &Change) -> String {
    let spec = &change.object["spec"];
    let field = if change.kind == Kind::Leader { "holder" } else { "holderIdentity" };
    if change.gone { String::new() } else { spec[field].as_str().unwrap_or_default().to_owned() }
}

/// Its pod: an announcement says it, and the name of a holder ends with it.
fn pod(change: &Change, holder: &str) -> String {
    let announced = change.object["spec"]["podUID"].as_str().filter(|_| !change.gone);
    let pod = announced.or_else(|| holder.rsplit_once('_').map(|(_, pod)| pod));
    pod.unwrap_or(holder).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    #[test]
    fn a_renewal_begins_no_term() {
        let mut story = Story::with_copy();
        for holder in ["a", "a", "", "b", "b"] {
            story.lease(holder);
        }
        let terms = terms(&story.history());
        let pods: Vec<_> = terms.iter().map(|term| term.pod.as_str()).collect();
        assert_eq!(pods, ["a", "", "b"]);
        assert_eq!(at(&terms, terms[0].revision), None, "it begins after its revision");
        assert_eq!(at(&terms, terms[2].revision), Some(1));
        assert_eq!(transitions(&story.history()), 1);
    }

    #[test]
    fn what_is_announced_is_believed_before_the_lease() {
        let mut story = Story::led_by("a");
        story.lease("b");
        let terms = terms(&story.history());
        assert_eq!(terms.iter().map(|term| term.pod.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
