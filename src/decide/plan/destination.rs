//! Plans the action at one desired destination.

use std::sync::Arc;

use crate::api::ConflictPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::Observed;
use crate::decide::Ownership;
use crate::decide::desired::DesiredCopies;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedDestination;
use crate::decide::ownership;
use crate::decide::plan::NewCopy;
use crate::decide::reason::Reason;
use crate::decide::stamp::Present;
use crate::decide::stamp::Stamp;

/// The action at the desired destination `at`; `None` if it depends on the content of the source,
/// which has not been read.
pub(super) fn plan_destination(
    observed: &Observed,
    desired: &DesiredCopies,
    at: &NamespacedName,
    destination: &ObservedDestination,
) -> Option<Action> {
    if let Some(failure) = unusable_namespace(at, destination.namespace) {
        return Some(Action::Leave(failure));
    }
    let markers = Markers::desired(
        &observed.sync.version.uid,
        &observed.sync.name,
        at,
        &desired.source,
        &desired.excerpt.hash,
        desired.deletion_policy,
    );
    match &destination.object {
        DestinationObject::Missing => new_copy(desired, markers).map(Action::Create),
        DestinationObject::Existing(existing) => {
            plan_existing(observed, desired, at, existing, markers)
        }
    }
}

fn plan_existing(
    observed: &Observed,
    desired: &DesiredCopies,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
    markers: Markers,
) -> Option<Action> {
    let claim = match claim(observed, desired, at, existing) {
        Ok(claim) => claim,
        Err(failure) => return Some(Action::Leave(failure)),
    };
    if existing.deleting {
        return Some(Action::Leave(being_deleted(at)));
    }
    // The recorded hash covers content and metadata, and an immutable copy is replaced only if its
    // content differs.
    let must_be_read = existing.content == CopyContent::Suspect
        || (existing.is_unread_immutable() && !content_agrees(existing, desired));
    if must_be_read {
        return Some(waits_for_read(at));
    }
    let seen = existing.version.clone();
    let previous = existing.markers.as_ref();
    let present = Present {
        markers: previous,
        marker_keys: existing.marker_keys,
        other: &existing.other_metadata,
    };
    let stamp = match claim {
        Claim::Ours => Stamp::to(present, &markers, &desired.metadata),
        Claim::Adoption => Stamp::adopt(present, &markers, &desired.metadata),
    };
    match (content_agrees(existing, desired), stamp.is_empty()) {
        (true, _) if claim == Claim::Adoption && existing.is_immutable() => {
            Some(Action::Leave(immutable(at)))
        }
        (true, true) => Some(Action::Keep),
        (true, false) => Some(Action::Restamp { seen, stamp }),
        (false, _) if !existing.is_immutable() => {
            let content = desired.content.as_ref().map(Arc::clone)?;
            Some(Action::Update { seen, stamp, content })
        }
        (false, _) if claim == Claim::Ours && previous.is_some_and(|it| it.created) => {
            new_copy(desired, markers).map(|copy| Action::Replace { seen, copy })
        }
        (false, _) => Some(Action::Leave(immutable(at))),
    }
}

/// Why an existing `ConfigMap` may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It is ours, or an orphan whose markers name this `ConfigMapSync` and this destination.
    Ours,
    /// It is foreign, and `conflictPolicy` is `Adopt`.
    Adoption,
}

fn claim(
    observed: &Observed,
    desired: &DesiredCopies,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
) -> Result<Claim, Failure> {
    let conflict = |message: String| Err(Failure::new(Reason::Conflict, message));
    let marked_sync = existing.markers.as_ref().and_then(|markers| markers.sync.as_deref());
    match owner_of(observed, at, existing) {
        Ownership::Ours => Ok(Claim::Ours),
        Ownership::Orphan if marked_sync == Some(&observed.sync.name.to_string()) => {
            Ok(Claim::Ours)
        }
        Ownership::Orphan => conflict(format!(
            "ConfigMap {at} is a copy of a ConfigMapSync that no longer exists: delete it, or wait \
             for orphan collection"
        )),
        Ownership::Sibling(other) => conflict(format!(
            "ConfigMap {at} is already the copy of ConfigMapSync {other}: delete or change one of \
             the two ConfigMapSyncs"
        )),
        Ownership::Foreign => match desired.conflict_policy {
            ConflictPolicy::Refuse => conflict(format!(
                "ConfigMap {at} already exists and is not a copy: delete it, set another \
                 spec.destinationName, or set spec.conflictPolicy to Adopt"
            )),
            ConflictPolicy::Adopt if existing.has_owner_references => conflict(format!(
                "ConfigMap {at} already exists and has owner references, so it is not adopted: set \
                 another spec.destinationName"
            )),
            ConflictPolicy::Adopt if existing.managed_by == ManagedBy::AnotherTool => {
                conflict(format!(
                    "ConfigMap {at} already exists and its label app.kubernetes.io/managed-by \
                     names another tool, so it is not adopted: set another spec.destinationName"
                ))
            }
            ConflictPolicy::Adopt => Ok(Claim::Adoption),
        },
    }
}

/// To which `ConfigMapSync` the `ConfigMap` at `at` belongs.
pub(super) fn owner_of(
    observed: &Observed,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
) -> Ownership {
    let ExistingConfigMap { markers, owner, .. } = existing;
    let sync = &observed.sync;
    ownership(at, markers.as_ref(), &sync.version.uid, &sync.name, owner.as_ref())
}

/// Whether the content equals the desired content: by hash if it was read; otherwise by the hash
/// annotation and the number of keys, because metadata shows that only the operator has written it.
fn content_agrees(existing: &ExistingConfigMap, desired: &DesiredCopies) -> bool {
    let excerpt = &desired.excerpt;
    match &existing.content {
        CopyContent::Read(digest) => digest.hash.with(&desired.metadata) == excerpt.hash,
        CopyContent::Untouched { keys, .. } => {
            let markers = existing.markers.as_ref();
            let recorded = markers.and_then(|markers| markers.content_hash.as_ref());
            recorded == Some(&excerpt.hash) && *keys == excerpt.keys
        }
        CopyContent::Suspect => false,
    }
}

/// `None` if the content of the source has not been read.
fn new_copy(desired: &DesiredCopies, markers: Markers) -> Option<NewCopy> {
    let content: &Arc<Content> = desired.content.as_ref()?;
    let (metadata, content) = (Arc::clone(&desired.metadata), Arc::clone(content));
    Some(NewCopy { markers, metadata, content })
}

pub(super) fn waits_for_read(at: &NamespacedName) -> Action {
    let message = format!("ConfigMap {at} has not been read yet");
    Action::Leave(Failure::new(Reason::Progressing, message))
}

pub(super) fn waits_for_review(at: &NamespacedName) -> Action {
    let message = format!("the permission to write ConfigMap {at} has not been reviewed yet");
    Action::Leave(Failure::new(Reason::Progressing, message))
}

pub(super) fn being_deleted(at: &NamespacedName) -> Failure {
    Failure::new(
        Reason::Progressing,
        format!(
            "ConfigMap {at} is being deleted and waits for its finalizers: check the controllers \
             that set them"
        ),
    )
}

fn immutable(at: &NamespacedName) -> Failure {
    Failure::new(
        Reason::Conflict,
        format!(
            "ConfigMap {at} is immutable and was not created by this operator, so it is not \
             replaced: delete it"
        ),
    )
}

fn unusable_namespace(at: &NamespacedName, state: NamespaceState) -> Option<Failure> {
    let namespace = &at.namespace;
    match state {
        NamespaceState::Active => None,
        NamespaceState::Protected => Some(Failure::new(
            Reason::DestinationProtected,
            format!("namespace {namespace} is protected: set another spec.destinationNamespace"),
        )),
        NamespaceState::Refused => Some(Failure::new(
            Reason::DestinationRefused,
            format!(
                "namespace {namespace} has the annotation apps.nishaf.info/no-copies, which forbids \
                 copies in it: remove the annotation, or set another spec.destinationNamespace"
            ),
        )),
        NamespaceState::Unclear => Some(Failure::new(
            Reason::DestinationRefused,
            format!(
                "the annotation apps.nishaf.info/no-copies of namespace {namespace} is neither true \
                 nor false, so nothing is copied or deleted: set it to true or false, or remove it"
            ),
        )),
        NamespaceState::Terminating => Some(Failure::new(
            Reason::NamespaceTerminating,
            format!(
                "namespace {namespace} is being deleted: the copy is created once a namespace of \
                 this name exists again"
            ),
        )),
        NamespaceState::Missing => Some(Failure::new(
            Reason::DestinationNamespaceNotFound,
            format!("namespace {namespace} does not exist: create it, and the copy follows"),
        )),
    }
}
