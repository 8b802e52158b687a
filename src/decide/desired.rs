//! What should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConflictPolicy;
use crate::api::DeletionPolicy;
use crate::api::DestinationMetadata;
use crate::api::SourceDeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::destinations::Target;
use crate::decide::excerpt::Excerpt;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::SourceContent;
use crate::decide::reason::Reason;

/// What should be.
#[derive(Clone, Debug)]
pub enum Desired {
    /// These copies, and no others.
    Copies(DesiredCopies),
    /// No copy at all: the sync is being deleted, or, with a reason to report, its source is gone
    /// and takes the copies with it.
    Nothing(Option<Failure>),
    /// Whatever is there: not knowing is not wishing, so nothing is written.
    Hold(Failure),
}

/// The copies that should be.
#[derive(Clone, Debug)]
pub struct DesiredCopies {
    /// Where.
    pub destinations: BTreeSet<NamespacedName>,
    /// What the destinations follow from.
    pub target: Target,
    /// Of what.
    pub source: NamespacedName,
    /// What is known of what should be in them.
    pub excerpt: Excerpt,
    /// What should be in them, if it was read.
    pub content: Option<Arc<Content>>,
    /// Labels and annotations that should be on them.
    pub metadata: Arc<DestinationMetadata>,
    /// What happens to them when they are no longer wanted.
    pub deletion_policy: DeletionPolicy,
    /// What happens to a `ConfigMap` that stands in their place.
    pub conflict_policy: ConflictPolicy,
}

/// Tells what should be.
///
/// Never fails: a spec that cannot be carried out, or a source that cannot be told, is
/// [`Desired::Hold`] with the reason.
#[must_use]
pub fn desired(observed: &Observed) -> Desired {
    let sync = &observed.sync;
    if sync.deleting {
        return Desired::Nothing(None);
    }
    let (spec, target) = match valid(&sync.spec) {
        Ok(valid) => valid,
        Err(failure) => return Desired::Hold(failure),
    };
    if spec.suspend {
        return Desired::Hold(Failure::new(
            Reason::Suspended,
            "nothing is written while spec.suspend is set",
        ));
    }
    let source = source_name(spec);
    match usable(&observed.source, &source) {
        Ok((excerpt, content)) => Desired::Copies(DesiredCopies {
            destinations: target.destinations(&observed.selected, &source),
            target,
            source,
            excerpt,
            content,
            metadata: Arc::new(spec.destination_metadata.clone().unwrap_or_default()),
            deletion_policy: spec.deletion_policy,
            conflict_policy: spec.conflict_policy,
        }),
        Err(failure) if takes_copies_along(spec, &observed.source) => {
            Desired::Nothing(Some(failure))
        }
        Err(failure) => Desired::Hold(failure),
    }
}

/// The places that `spec` asks for, where `selected` are the namespaces that its selector
/// selects; if it cannot be carried out, why.
pub fn destinations(
    spec: &Result<ConfigMapSyncSpec, String>,
    selected: &BTreeSet<String>,
) -> Result<BTreeSet<NamespacedName>, Failure> {
    valid(spec).map(|(spec, target)| target.destinations(selected, &source_name(spec)))
}

/// The name of the source that `spec` asks for.
#[must_use]
pub fn source_name(spec: &ConfigMapSyncSpec) -> NamespacedName {
    NamespacedName::new(&spec.source_namespace, &spec.config_map_name)
}

fn valid(
    spec: &Result<ConfigMapSyncSpec, String>,
) -> Result<(&ConfigMapSyncSpec, Target), Failure> {
    let invalid = |complaint: &String| Failure::new(Reason::InvalidSpec, complaint);
    let spec = spec.as_ref().map_err(invalid)?;
    let target = Target::of(spec).map_err(|complaint| invalid(&complaint))?;
    Ok((spec, target))
}

fn takes_copies_along(spec: &ConfigMapSyncSpec, source: &ObservedSource) -> bool {
    let is_gone = match source {
        ObservedSource::Missing { confirmed } => *confirmed,
        ObservedSource::Existing(source) => source.refused,
        ObservedSource::Unreadable(_) => false,
    };
    is_gone && spec.source_deletion_policy == SourceDeletionPolicy::Delete
}

type Known = (Excerpt, Option<Arc<Content>>);

fn usable(source: &ObservedSource, name: &NamespacedName) -> Result<Known, Failure> {
    match source {
        ObservedSource::Missing { .. } => Err(Failure::new(
            Reason::SourceNotFound,
            format!("ConfigMap {name} does not exist: create it, or correct the spec"),
        )),
        ObservedSource::Unreadable(failure) => Err(failure.clone()),
        ObservedSource::Existing(source) if source.refused => Err(Failure::new(
            Reason::SourceRefused,
            format!("the owner of ConfigMap {name} forbids copying it by an annotation"),
        )),
        ObservedSource::Existing(source) if source.is_copy => Err(Failure::new(
            Reason::SourceIsCopy,
            format!("ConfigMap {name} is itself a copy: name its own source instead"),
        )),
        ObservedSource::Existing(source) => known(source, name),
    }
}

fn known(source: &ExistingSource, name: &NamespacedName) -> Result<Known, Failure> {
    match &source.content {
        SourceContent::Read(excerpt, content) => Ok((excerpt.clone(), Some(Arc::clone(content)))),
        SourceContent::Known(excerpt) => Ok((excerpt.clone(), None)),
        SourceContent::Unread => Err(Failure::new(
            Reason::Progressing,
            format!("ConfigMap {name} has not been read yet"),
        )),
    }
}
