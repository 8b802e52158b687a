//! Whether a write of a copy answers a change by another client.
//!
//! Such changes are counted: a copy that others change more often than a few times a minute is
//! written with backoff, and reported as `Contended`. Changes that follow from our own desired state
//! do not count: a source that is deleted and created again, or a namespace whose labels come and go.
//!
//! What was written and wanted before is remembered. The status is not used: it may be rejected, or
//! report something else, such as another copy that is being deleted.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Plan;
use crate::decide::observed::Attempted;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::PendingRetry;
use crate::decide::reason::Reason;

/// What a copy was to be: it changes with the spec, and with the content of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `metadata.generation` of the `ConfigMapSync`.
    pub generation: Option<i64>,
    /// Hash of the desired content and metadata.
    pub content_hash: ContentHash,
}

/// Why a copy is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make it equal to what is wanted.
    Copy {
        /// What is wanted.
        wanted: Wanted,
        /// Whether the last reconcile of the `ConfigMapSync` wanted the same.
        was_wanted: bool,
    },
    /// To delete or release it.
    Retire,
}

/// The last write of a copy by this process, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OurLastWrite {
    /// It made the copy equal to this.
    Copied(Wanted),
    /// It deleted or released the copy.
    Retired,
}

/// The response to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// It took effect.
    Written,
    /// There was nothing when the write was decided, and now there is something.
    AlreadyExists,
    /// The copy is not as it was when the write was decided.
    Conflict,
}

/// Whether another client has changed the copy, or undone our last write of it.
///
/// | our last write | this write | response | another client |
/// |---|---|---|---|
/// | any | any | conflict | yes |
/// | any | any | exists already | no: its ownership is judged next |
/// | any | retires it | written | no |
/// | retired it | copies | written | no |
/// | copied the same | copies | written | yes: our write was undone or altered |
/// | copied something else | copies | written | no |
/// | not remembered | copies what the last reconcile wanted | written | yes |
/// | not remembered | copies anything else | written | no |
#[must_use]
pub fn is_change_of_others(
    last: Option<&OurLastWrite>,
    purpose: &Purpose,
    response: Response,
) -> bool {
    match (response, purpose, last) {
        (Response::Conflict, _, _) => true,
        (Response::AlreadyExists, _, _)
        | (Response::Written, Purpose::Retire, _)
        | (Response::Written, _, Some(OurLastWrite::Retired)) => false,
        (Response::Written, Purpose::Copy { wanted, .. }, Some(OurLastWrite::Copied(last))) => {
            wanted == last
        }
        (Response::Written, Purpose::Copy { was_wanted, .. }, None) => *was_wanted,
    }
}

/// Why `action`, a write of `plan`, is made, if the last reconcile that wanted copies wanted
/// `last_wanted`.
#[must_use]
pub fn purpose(
    sync: &ObservedSync,
    plan: &Plan,
    action: &Action,
    last_wanted: Option<&Wanted>,
) -> Purpose {
    match (action, Wanted::of(sync, plan)) {
        (Action::Delete { .. } | Action::Release { .. }, _) | (_, None) => Purpose::Retire,
        (_, Some(wanted)) => {
            let was_wanted = last_wanted == Some(&wanted);
            Purpose::Copy { wanted, was_wanted }
        }
    }
}

/// Why a write of the copy `at` waits that another client keeps changing, for what the last write was
/// to make.
#[must_use]
pub fn contended_copy(at: &NamespacedName, attempted_hash: Option<ContentHash>) -> PendingRetry {
    let message = format!(
        "another client keeps changing {at}: find it in managedFields and stop it, or set \
         spec.suspend"
    );
    PendingRetry {
        failure: Failure::new(Reason::Contended, message),
        attempted: Attempted { content_hash: attempted_hash, ..Attempted::default() },
    }
}

/// Why the finalizer is not set that another client keeps removing.
#[must_use]
pub fn contended_finalizer() -> Failure {
    let message = "another client keeps removing it: find it in the audit log and stop it";
    Failure::new(Reason::Contended, message)
}

// === impl Wanted ===

impl Wanted {
    /// What `plan` wants the copies to be; `None` if it wants none, or has to wait.
    #[must_use]
    pub fn of(sync: &ObservedSync, plan: &Plan) -> Option<Self> {
        let content_hash = plan.content_hash.clone()?;
        Some(Self { generation: sync.generation, content_hash })
    }
}

// === impl Purpose ===

impl Purpose {
    /// The hash of what the copy was to be.
    #[must_use]
    pub const fn content_hash(&self) -> Option<&ContentHash> {
        match self {
            Self::Copy { wanted, .. } => Some(&wanted.content_hash),
            Self::Retire => None,
        }
    }

    /// `metadata.generation` of the `ConfigMapSync` that wanted the copy.
    #[must_use]
    pub const fn generation(&self) -> Option<i64> {
        match self {
            Self::Copy { wanted, .. } => wanted.generation,
            Self::Retire => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(hash: &str) -> Wanted {
        Wanted { generation: Some(1), content_hash: ContentHash::from_text(hash) }
    }

    fn copy(was_wanted: bool) -> Purpose {
        Purpose::Copy { wanted: wanted("a"), was_wanted }
    }

    #[test]
    fn only_changes_of_others_count() {
        let same = OurLastWrite::Copied(wanted("a"));
        let other = OurLastWrite::Copied(wanted("b"));
        let edited = OurLastWrite::Copied(Wanted { generation: Some(2), ..wanted("a") });
        let retired = OurLastWrite::Retired;
        let rows = [
            (None, copy(true), Response::Written, true),
            (None, copy(false), Response::Written, false),
            (Some(&same), copy(false), Response::Written, true),
            (Some(&same), copy(true), Response::Written, true),
            (Some(&other), copy(true), Response::Written, false),
            (Some(&edited), copy(true), Response::Written, false),
            (Some(&retired), copy(true), Response::Written, false),
            (None, Purpose::Retire, Response::Written, false),
            (Some(&same), Purpose::Retire, Response::Written, false),
            (None, copy(true), Response::AlreadyExists, false),
            (Some(&same), copy(true), Response::AlreadyExists, false),
            (None, copy(false), Response::Conflict, true),
            (Some(&retired), copy(true), Response::Conflict, true),
            (Some(&same), Purpose::Retire, Response::Conflict, true),
        ];
        for (last, purpose, response, expected) in rows {
            let found = is_change_of_others(last, &purpose, response);
            assert_eq!(found, expected, "{last:?}, {purpose:?}, {response:?}");
        }
    }
}
