//! What should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::api::DeletionPolicy;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ContentSeen;
use crate::decide::observed::Source;
use crate::decide::observed::SourceSeen;
use crate::decide::validity;
use crate::names::NamespacedName;
use crate::names::Reason;

/// What should be.
#[derive(Clone, Debug)]
pub enum Desired {
    /// These copies, and no others.
    Copies(Wanted),
    /// No copy at all.
    Nothing,
    /// Whatever is there: not knowing is not wishing, so nothing is written.
    Hold(Failure),
}

/// The copies that should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where.
    pub destinations: BTreeSet<NamespacedName>,
    /// Of what.
    pub source: NamespacedName,
    /// Hash of what should be in them.
    pub hash: ContentHash,
    /// How many keys they should have.
    pub keys: usize,
    /// What should be in them, if it was read.
    pub content: Option<Arc<Content>>,
    /// What happens to them when they are no longer wanted.
    pub deletion_policy: DeletionPolicy,
}

/// Tells what should be.
///
/// Never fails: a spec that cannot be carried out, or a source that cannot be told, is
/// [`Desired::Hold`] with the reason.
#[must_use]
pub fn desired(observed: &Observed) -> Desired {
    let sync = &observed.sync;
    if sync.deleting {
        return Desired::Nothing;
    }
    let (spec, destinations) = match valid_spec(&sync.spec) {
        Ok(valid) => valid,
        Err(failure) => return Desired::Hold(failure),
    };
    if spec.suspend {
        return Desired::Hold(Failure::new(
            Reason::Suspended,
            "nothing is written while spec.suspend is set",
        ));
    }
    match usable_source(spec, &observed.source) {
        Ok((hash, keys, content)) => Desired::Copies(Wanted {
            destinations,
            source: source_name(spec),
            hash,
            keys,
            content,
            deletion_policy: spec.deletion_policy,
        }),
        Err(failure) => Desired::Hold(failure),
    }
}

/// The places that `spec` asks for; if it cannot be carried out, why.
pub fn destinations(
    spec: &Result<ConfigMapSyncSpec, String>,
) -> Result<BTreeSet<NamespacedName>, Failure> {
    valid_spec(spec).map(|(_, destinations)| destinations)
}

/// The name of the source that `spec` asks for.
#[must_use]
pub fn source_name(spec: &ConfigMapSyncSpec) -> NamespacedName {
    NamespacedName::new(&spec.source_namespace, &spec.config_map_name)
}

fn valid_spec(
    spec: &Result<ConfigMapSyncSpec, String>,
) -> Result<(&ConfigMapSyncSpec, BTreeSet<NamespacedName>), Failure> {
    let invalid = |complaint: &String| Failure::new(Reason::InvalidSpec, complaint);
    let spec = spec.as_ref().map_err(invalid)?;
    validity::check(spec).map_err(|complaint| invalid(&complaint))?;
    let name = validity::destination_name(spec);
    let destinations = spec
        .destination_namespace
        .iter()
        .map(|namespace| NamespacedName::new(namespace, name))
        .collect();
    Ok((spec, destinations))
}

type Known = (ContentHash, usize, Option<Arc<Content>>);

fn usable_source(spec: &ConfigMapSyncSpec, source: &SourceSeen) -> Result<Known, Failure> {
    let name = source_name(spec);
    match source {
        SourceSeen::Absent => Err(Failure::new(
            Reason::SourceNotFound,
            format!("ConfigMap {name} does not exist: create it, or correct the spec"),
        )),
        SourceSeen::Unreadable(failure) => Err(failure.clone()),
        SourceSeen::Present(source) if source.refused => Err(Failure::new(
            Reason::SourceRefused,
            format!("the owner of ConfigMap {name} forbids copying it by an annotation"),
        )),
        SourceSeen::Present(source) if source.is_copy => Err(Failure::new(
            Reason::SourceIsCopy,
            format!("ConfigMap {name} is itself a copy: name its own source instead"),
        )),
        SourceSeen::Present(source) => known_content(source, &name),
    }
}

fn known_content(source: &Source, name: &NamespacedName) -> Result<Known, Failure> {
    match &source.content {
        ContentSeen::Read(content) => {
            Ok((content.hash(), content.keys(), Some(Arc::clone(content))))
        }
        ContentSeen::Known { hash, keys } => Ok((hash.clone(), *keys, None)),
        ContentSeen::Unread => Err(Failure::new(
            Reason::Progressing,
            format!("ConfigMap {name} has not been read yet"),
        )),
    }
}
