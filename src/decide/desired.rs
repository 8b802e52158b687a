//! Which copies should exist, and with which content.

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
use crate::decide::metadata_size::check_size;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::SourceContent;
use crate::decide::opt_out::OptOut;
use crate::decide::reason::Reason;

/// What a `ConfigMapSync` requires.
#[derive(Clone, Debug)]
pub enum Desired {
    /// Exactly these copies.
    Copies(DesiredCopies),
    /// No copies: the `ConfigMapSync` is being deleted, or, with the failure to report, its source
    /// is gone and `sourceDeletionPolicy` is `Delete`.
    Nothing(Option<Failure>),
    /// Unknown, or suspended: copies are neither written nor deleted.
    Hold(Failure),
}

/// The copies that should exist.
#[derive(Clone, Debug)]
pub struct DesiredCopies {
    /// Namespace and name of each copy.
    pub destinations: BTreeSet<NamespacedName>,
    /// The part of the spec that determines the destinations.
    pub target: Target,
    /// The source.
    pub source: NamespacedName,
    /// Hash and keys of the desired content.
    pub excerpt: Excerpt,
    /// The desired content, if the source was read.
    pub content: Option<Arc<Content>>,
    /// Labels and annotations from `spec.destinationMetadata`.
    pub metadata: Arc<DestinationMetadata>,
    /// What happens to a copy that is no longer desired.
    pub deletion_policy: DeletionPolicy,
    /// What happens to a `ConfigMap` at a destination that is not a copy.
    pub conflict_policy: ConflictPolicy,
}

/// Determines which copies should exist.
///
/// An invalid spec, or a source whose state is unknown, results in [`Desired::Hold`] with the
/// failure.
#[must_use]
pub fn desired(observed: &Observed) -> Desired {
    let sync = &observed.sync;
    if sync.deleting {
        return Desired::Nothing(None);
    }
    let valid = valid(&sync.spec);
    let (spec, target) = match valid.and_then(|valid| check_size(sync).map(|()| valid)) {
        Ok(valid) => valid,
        Err(failure) => return Desired::Hold(failure),
    };
    if spec.suspend {
        return Desired::Hold(Failure::new(
            Reason::Suspended,
            "spec.suspend is true: copies are neither written nor deleted; set it to false to resume",
        ));
    }
    let selected = match &observed.selected {
        Ok(selected) => selected,
        Err(failure) => return Desired::Hold(failure.clone()),
    };
    let source = source_name(spec);
    match usable_content(&observed.source, &source) {
        Ok((excerpt, content)) => Desired::Copies(DesiredCopies {
            destinations: target.destinations(selected, &source),
            target,
            source,
            excerpt,
            content,
            metadata: Arc::new(spec.destination_metadata.clone().unwrap_or_default()),
            deletion_policy: spec.deletion_policy,
            conflict_policy: spec.conflict_policy,
        }),
        Err(failure) if deletes_copies(spec, &observed.source) => Desired::Nothing(Some(failure)),
        Err(failure) => Desired::Hold(failure),
    }
}

/// The destinations of `spec`. `selected` are the namespaces that its selector matches.
///
/// # Errors
/// The spec is invalid.
pub fn destinations(
    spec: &Result<ConfigMapSyncSpec, String>,
    selected: &BTreeSet<String>,
) -> Result<BTreeSet<NamespacedName>, Failure> {
    valid(spec).map(|(spec, target)| target.destinations(selected, &source_name(spec)))
}

/// Namespace and name of the source.
#[must_use]
pub fn source_name(spec: &ConfigMapSyncSpec) -> NamespacedName {
    NamespacedName::new(&spec.source_namespace, &spec.config_map_name)
}

fn valid(
    spec: &Result<ConfigMapSyncSpec, String>,
) -> Result<(&ConfigMapSyncSpec, Target), Failure> {
    let invalid = |message: &String| Failure::new(Reason::InvalidSpec, message);
    let spec = spec.as_ref().map_err(invalid)?;
    let target = Target::of(spec).map_err(|message| invalid(&message))?;
    Ok((spec, target))
}

fn deletes_copies(spec: &ConfigMapSyncSpec, source: &ObservedSource) -> bool {
    let is_gone = match source {
        ObservedSource::Missing { confirmed } => *confirmed,
        ObservedSource::Existing(source) => source.no_copy == OptOut::Forbidden,
        ObservedSource::Unknown | ObservedSource::Unreadable(_) => false,
    };
    is_gone && spec.source_deletion_policy == SourceDeletionPolicy::Delete
}

type KnownContent = (Excerpt, Option<Arc<Content>>);

fn usable_content(source: &ObservedSource, name: &NamespacedName) -> Result<KnownContent, Failure> {
    match source {
        ObservedSource::Unknown => Err(unread(name)),
        ObservedSource::Missing { .. } => Err(Failure::new(
            Reason::SourceNotFound,
            format!(
                "source ConfigMap {name} does not exist: create it, or correct \
                 spec.sourceNamespace and spec.configMapName"
            ),
        )),
        ObservedSource::Unreadable(failure) => Err(failure.clone()),
        ObservedSource::Existing(source) if source.no_copy != OptOut::Allowed => {
            Err(refused(source.no_copy, name))
        }
        ObservedSource::Existing(source) if source.is_copy => Err(Failure::new(
            Reason::SourceIsCopy,
            format!(
                "source ConfigMap {name} is itself a copy: set spec.sourceNamespace and \
                 spec.configMapName to the original"
            ),
        )),
        ObservedSource::Existing(source) => known_content(source, name),
    }
}

fn refused(no_copy: OptOut, name: &NamespacedName) -> Failure {
    let message = if no_copy == OptOut::Forbidden {
        format!(
            "source ConfigMap {name} has the annotation apps.nishaf.info/no-copy, which forbids \
             copying: remove the annotation, or use another source"
        )
    } else {
        format!(
            "the annotation apps.nishaf.info/no-copy of source ConfigMap {name} is neither true \
             nor false, so nothing is copied or deleted: set it to true or false, or remove it"
        )
    };
    Failure::new(Reason::SourceRefused, message)
}

fn known_content(source: &ExistingSource, name: &NamespacedName) -> Result<KnownContent, Failure> {
    match &source.content {
        SourceContent::Read(excerpt, content) => Ok((excerpt.clone(), Some(Arc::clone(content)))),
        SourceContent::Known(excerpt) => Ok((excerpt.clone(), None)),
        SourceContent::Unread => Err(unread(name)),
    }
}

fn unread(name: &NamespacedName) -> Failure {
    let message = format!("source ConfigMap {name} has not been read yet");
    Failure::new(Reason::Progressing, message)
}
