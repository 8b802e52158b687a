//! Which objects have to be read before a plan can be made.
//!
//! While hashes and metadata show that nothing has changed, no read is required.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::api::SourceDeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::SourceContent;
use crate::decide::plan::owns_copies;
use crate::decide::reason::Reason;
use crate::decide::verb::Verb;

/// The objects to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredReads {
    /// Whether to read the source.
    pub source: bool,
    /// The copies to read.
    pub copies: Vec<NamespacedName>,
    /// The permissions to ask for: verbs of the ServiceAccount at destinations.
    pub consents: BTreeMap<NamespacedName, BTreeSet<Verb>>,
}

// === impl RequiredReads ===

impl RequiredReads {
    /// Whether no read is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.source && self.copies.is_empty() && self.consents.is_empty()
    }
}

/// Determines which reads are required before the `plan` for the `desired` copies is final.
pub(super) fn required_reads(observed: &Observed, desired: &Desired, plan: &Plan) -> RequiredReads {
    match desired {
        Desired::Nothing(_) => RequiredReads::default(),
        Desired::Hold(failure) => {
            let source = is_unread(observed, failure) || is_unconfirmed(observed, failure);
            RequiredReads { source, ..RequiredReads::default() }
        }
        Desired::Copies(_) => RequiredReads {
            source: plan.needs_source_content,
            copies: suspects(observed, plan),
            consents: plan.needs_consent.clone(),
        },
    }
}

fn is_unread(observed: &Observed, hold: &Failure) -> bool {
    let unread = match &observed.source {
        ObservedSource::Unknown => true,
        ObservedSource::Existing(source) => matches!(source.content, SourceContent::Unread),
        ObservedSource::Missing { .. } | ObservedSource::Unreadable(_) => false,
    };
    unread && hold.reason == Reason::Progressing
}

/// Copies of a missing source are deleted only after a live read confirmed that it is missing.
fn is_unconfirmed(observed: &Observed, hold: &Failure) -> bool {
    let deletes_copies = observed
        .sync
        .spec
        .as_ref()
        .is_ok_and(|spec| spec.source_deletion_policy == SourceDeletionPolicy::Delete);
    deletes_copies
        && hold.reason == Reason::SourceNotFound
        && matches!(observed.source, ObservedSource::Missing { confirmed: false })
        && owns_copies(observed)
}

fn suspects(observed: &Observed, plan: &Plan) -> Vec<NamespacedName> {
    let is_suspect = |at: &NamespacedName| {
        observed.destinations.get(at).is_some_and(|destination| {
            matches!(
                &destination.object,
                DestinationObject::Existing(existing)
                    if existing.content == CopyContent::Suspect || existing.is_unread_immutable()
            )
        })
    };
    let waits = |action: &Action| matches!(action, Action::Leave(failure) if failure.reason == Reason::Progressing);
    plan.steps
        .iter()
        .filter(|(at, action)| {
            waits(action) && is_suspect(at) && !plan.needs_consent.contains_key(*at)
        })
        .map(|(at, _)| at.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DestinationMetadata;
    use crate::decide::Content;
    use crate::decide::Decision;
    use crate::decide::observed::ExistingConfigMap;
    use crate::decide::simulation::cluster::SimulatedCluster;
    use crate::decide::simulation::cluster::one_to_one;
    use crate::decide::verb::WriteConsent;

    #[test]
    fn an_unknown_source_is_read_a_missing_one_is_not() {
        let mut observed = SimulatedCluster::new(one_to_one()).observe();
        let mut reads = |source, suspend| {
            observed.source = source;
            observed.sync.spec.as_mut().unwrap().suspend = suspend;
            Decision::of(&observed).reads.source
        };
        assert!(reads(ObservedSource::Unknown, false));
        assert!(!reads(ObservedSource::Unknown, true), "a suspended sync needs no source");
        assert!(!reads(ObservedSource::Missing { confirmed: false }, false));
        assert!(!reads(ObservedSource::Missing { confirmed: true }, false));
    }

    #[test]
    fn an_immutable_copy_is_replaced_only_if_its_content_differs() {
        let mut cluster = SimulatedCluster::new(one_to_one());
        let (source, copy) = (NamespacedName::new("central", "s"), NamespacedName::new("n", "s"));
        let immutable = Content { immutable: true, ..Content::default() };
        cluster.put(&source, immutable.clone(), None);
        for _ in 0..2 {
            cluster.act(&cluster.plan(), usize::MAX);
        }
        let mut metadata = DestinationMetadata::default();
        metadata.labels.insert("team".into(), "a".into());
        cluster.spec.destination_metadata = Some(metadata);
        let plan = cluster.plan();
        assert!(matches!(plan.steps[&copy], Action::Restamp { .. }), "{plan:?}");
        cluster.act(&plan, usize::MAX);
        assert_eq!(cluster.plan().steps[&copy], Action::Keep);
        let data = [("a".to_owned(), "1".to_owned())].into();
        cluster.put(&source, Content { data, ..immutable }, None);
        let plan = cluster.plan();
        assert!(matches!(plan.steps[&copy], Action::Replace { .. }), "{plan:?}");
    }

    #[test]
    fn permissions_are_asked_for_before_a_copy_is_read_or_written() {
        let mut cluster = SimulatedCluster::new(one_to_one());
        let copy = NamespacedName::new("n", "s");
        cluster.put(&NamespacedName::new("central", "s"), Content::default(), None);
        for _ in 0..2 {
            cluster.act(&cluster.plan(), usize::MAX);
        }
        let mut observed = cluster.observe();
        let mut asked = |object: Option<DestinationObject>, granted: &[Verb]| {
            let destination = observed.destinations.get_mut(&copy).unwrap();
            destination.object = object.unwrap_or_else(|| destination.object.clone());
            destination.consent = WriteConsent::Granted(granted.iter().copied().collect());
            let Decision { plan, reads, .. } = Decision::of(&observed);
            assert!(!plan.has_writes(), "{plan:?}");
            assert!(reads.consents.is_empty() || reads.copies.is_empty(), "{reads:?}");
            reads.consents.get(&copy).cloned().unwrap_or_default().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(asked(None, &[]), [], "the copy is in order");
        let DestinationObject::Existing(in_order) =
            cluster.observe().destinations[&copy].object.clone()
        else {
            panic!("there is no copy")
        };
        let suspect = ExistingConfigMap { content: CopyContent::Suspect, ..*in_order };
        let suspect = || Some(DestinationObject::Existing(Box::new(suspect.clone())));
        assert_eq!(asked(suspect(), &[]), [Verb::Update, Verb::Delete]);
        assert_eq!(asked(suspect(), &[Verb::Update]), [Verb::Delete]);
        assert_eq!(asked(suspect(), &[Verb::Update, Verb::Delete]), []);
        let missing = || Some(DestinationObject::Missing);
        assert_eq!(asked(missing(), &[]), [Verb::Create, Verb::Update, Verb::Delete]);
        assert_eq!(asked(missing(), &[Verb::Update, Verb::Delete]), [Verb::Create]);
    }
}
