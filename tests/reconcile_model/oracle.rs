//! What must not happen, judged without the operator's own code, and with what the operator cannot
//! know: where a `ConfigMap` came from.

use std::fmt;

use configmapsync::names as keys;

use crate::content::copied;
use crate::names::Life;
use crate::names::NAMESPACES;
use crate::names::Place;
use crate::names::Sync;
use crate::names::namespace_of;
use crate::names::place;
use crate::object::Object;
use crate::object::Origin;
use crate::object::Restored;
use crate::spec::STAMPED_LABEL;
use crate::spec::Spec;
use crate::state::Kind;
use crate::state::Phase;
use crate::state::Source;
use crate::state::StoredNamespace;
use crate::state::Write;
use crate::store::Store;
use crate::view::PassInput;

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A `ConfigMap` is deleted that the operator did not create, or has adopted.
    DeletedForeign,
    /// A `ConfigMap` is changed that is no copy of this sync, without `conflictPolicy: Adopt`.
    ChangedForeign,
    /// A `ConfigMap` is written that is the copy of another existing sync.
    WroteCopyOfOther,
    /// A copy that is desired is deleted or released.
    RetiredDesired,
    /// An old copy is deleted or released before its replacement equals the source.
    RetiredBeforeReplacement,
    /// A copy is deleted or released in a namespace that is unknown.
    RetiredInUnknownNamespace,
    /// A copy is created although its sync has no finalizer.
    CreatedWithoutFinalizer,
    /// An orphan that was restored after the deletion of its sync is collected without grace.
    CollectedWithoutGrace,
    /// One of many orphans is collected, although none of their syncs was observed.
    CollectedMany,
    /// A write counts as a change by another client, although no other client has changed the copy.
    CountedOwnWrite,
    /// A change by another client does not count.
    IgnoredChange,
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeletedForeign => "a ConfigMap that the operator did not create is deleted",
            Self::ChangedForeign => "a ConfigMap that is no copy is changed without Adopt",
            Self::WroteCopyOfOther => "the copy of another ConfigMapSync is written",
            Self::RetiredDesired => "a desired copy is deleted or released",
            Self::RetiredBeforeReplacement => "an old copy is retired before its replacement",
            Self::RetiredInUnknownNamespace => "a copy in an unknown namespace is retired",
            Self::CreatedWithoutFinalizer => "a copy is created without a finalizer",
            Self::CollectedMany => "one of many orphans is collected without a person",
            Self::CollectedWithoutGrace => "a restored orphan is collected without grace",
            Self::CountedOwnWrite => "a write of our own counts as a change by another client",
            Self::IgnoredChange => "a change by another client does not count",
        })
    }
}

/// What must not happen, and does if a reconcile stores `write` at `place`.
pub fn harm_of_reconcile(
    store: &Store,
    input: &PassInput,
    place: Place,
    write: Write,
) -> Option<Violation> {
    let seen = input.view.syncs[input.sync]?;
    let spec = seen.sync.spec;
    let id = input.view.objects[place].id;
    let Some(object) = id.map(|id| store.get(id)) else {
        return (!seen.sync.has_finalizer).then_some(Violation::CreatedWithoutFinalizer);
    };
    let identity = object.identity(place);
    let is_ours = identity == Some((input.sync, seen.life()));
    match identity {
        Some((other, Life::Current)) if other != input.sync => {
            return Some(Violation::WroteCopyOfOther);
        }
        // Its own copy, or one of an earlier sync of the same name.
        Some((owner, _)) if owner == input.sync => {}
        _ if spec.adopts && may_be_adopted(&object) => {}
        _ => return Some(Violation::ChangedForeign),
    }
    let deletes = matches!(write.kind, Kind::Delete | Kind::Replace);
    if deletes && !(is_ours && may_be_deleted(&object)) {
        return Some(Violation::DeletedForeign);
    }
    if !matches!(write.kind, Kind::Delete | Kind::Release) {
        return None;
    }
    let namespace = input.view.namespaces[namespace_of(place)];
    if namespace.phase == Phase::Missing {
        return Some(Violation::RetiredInUnknownNamespace);
    }
    let desires = desires_copies(spec, input.view.source.source, seen.sync.is_deleting);
    desires.then(|| premature_retirement(store, input, spec, place)).flatten()
}

/// What must not happen, and does if orphan collection stores its write at `place`.
pub fn harm_of_collection(object: &Object, place: Place, kind: Kind) -> Option<Violation> {
    match object.identity(place) {
        None => return Some(Violation::ChangedForeign),
        Some((_, Life::Current)) => return Some(Violation::WroteCopyOfOther),
        Some(_) => {}
    }
    if kind == Kind::Delete && !may_be_deleted(object) {
        return Some(Violation::DeletedForeign);
    }
    (object.restored == Restored::Recently).then_some(Violation::CollectedWithoutGrace)
}

/// What must not happen, and does if a write is stored although its `ConfigMap` has changed since
/// the decision into `object`.
pub fn harm_of_outdated(object: &Object, place: Place, kind: Kind) -> Option<Violation> {
    let is_copy = object.identity(place).is_some();
    match kind {
        Kind::Delete | Kind::Replace if !is_copy || !may_be_deleted(object) => {
            Some(Violation::DeletedForeign)
        }
        _ => (!is_copy).then_some(Violation::ChangedForeign),
    }
}

const fn may_be_deleted(object: &Object) -> bool {
    matches!(object.origin, Origin::Operator | Origin::Claimed)
}

fn may_be_adopted(object: &Object) -> bool {
    let managed_by = object.labels.get(keys::LABEL_MANAGED_BY);
    let is_managed = managed_by.is_some_and(|by| by != keys::MANAGED_BY);
    !object.has_owner && !object.is_immutable && !is_managed
}

/// Whether a sync desires any copies. A source that is missing or forbids copying, with
/// `sourceDeletionPolicy: Retain`, leaves the copies as they are.
pub fn desires_copies(spec: Spec, source: Source, is_deleting: bool) -> bool {
    !is_deleting && (source.usable_content().is_some() || !spec.follows_source)
}

/// The places of the copies that `spec` desires.
pub fn desired_places(spec: Spec, namespaces: [StoredNamespace; NAMESPACES]) -> Vec<Place> {
    match spec.destination {
        Some(namespace) => vec![place(namespace, spec.has_other_name)],
        None => (0..NAMESPACES)
            .filter(|it| namespaces[*it].is_usable() && namespaces[*it].is_labelled)
            .map(|it| place(it, spec.has_other_name))
            .collect(),
    }
}

/// The place that replaces the old copy at `old`, if there is one.
pub fn replacement(
    spec: Spec,
    namespaces: [StoredNamespace; NAMESPACES],
    old: Place,
) -> Option<Place> {
    let namespace = spec.destination.unwrap_or(namespace_of(old));
    let replacement = place(namespace, spec.has_other_name);
    desired_places(spec, namespaces).contains(&replacement).then_some(replacement)
}

fn premature_retirement(
    store: &Store,
    input: &PassInput,
    spec: Spec,
    old: Place,
) -> Option<Violation> {
    let view = &input.view;
    if desired_places(spec, view.namespaces).contains(&old) {
        return Some(Violation::RetiredDesired);
    }
    let replacement = replacement(spec, view.namespaces, old)?;
    let owner = (input.sync, view.syncs[input.sync]?.life());
    let is_usable = view.namespaces[namespace_of(replacement)].is_usable();
    let found = view.objects[replacement].id.filter(|_| is_usable);
    let is_written = found.is_some_and(|id| {
        equals_source(&store.get(id), replacement, owner, spec, view.source.source)
    });
    (!is_written).then_some(Violation::RetiredBeforeReplacement)
}

/// Whether the `ConfigMap` is a copy of this sync that equals the source.
pub fn equals_source(
    object: &Object,
    place: Place,
    owner: (Sync, Life),
    spec: Spec,
    source: Source,
) -> bool {
    let Some(content) = source.usable_content() else { return false };
    let (key, value) = STAMPED_LABEL;
    object.identity(place) == Some(owner)
        && object.data == copied(content, spec)
        && (!spec.has_label || object.labels.get(key).map(String::as_str) == Some(value))
}
