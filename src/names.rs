//! Every name the cluster sees.
//!
//! Knows nothing of how the names are used. A label, an annotation, a reason or a field manager
//! that is not here does not exist.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// API group of our kinds.
pub const GROUP: &str = "apps.nishaf.info";

/// How the keys of our labels and annotations begin.
pub const PREFIX: &str = "apps.nishaf.info/";

/// Label on a copy: the uid of its `ConfigMapSync`. What we list, watch and fence by.
pub const LABEL_SYNC_UID: &str = "apps.nishaf.info/configmapsync-uid";
/// Annotation on a copy: `namespace/name` of its `ConfigMapSync`.
pub const ANNOTATION_SYNC: &str = "apps.nishaf.info/configmapsync";
/// Annotation on a copy: `namespace/name` of its source.
pub const ANNOTATION_SOURCE: &str = "apps.nishaf.info/source";
/// Annotation on a copy: `namespace/name` of this very copy, so that a clone proves nothing.
pub const ANNOTATION_COPY: &str = "apps.nishaf.info/copy";
/// Annotation on a copy: hash of what its content should be.
pub const ANNOTATION_CONTENT_HASH: &str = "apps.nishaf.info/content-hash";
/// Annotation on a copy: `"true"` if our POST made it.
pub const ANNOTATION_CREATED: &str = "apps.nishaf.info/created";
/// Annotation on a copy: `Delete`, where that is the policy of its `ConfigMapSync`.
pub const ANNOTATION_DELETION_POLICY: &str = "apps.nishaf.info/deletion-policy";
/// Annotation that a source's owner sets to `"true"` to forbid copying.
pub const ANNOTATION_NO_COPY: &str = "apps.nishaf.info/no-copy";
/// Finalizer on a `ConfigMapSync`: its copies are not cleaned up yet.
pub const FINALIZER: &str = "apps.nishaf.info/cleanup";

/// Recommended label naming the application that an object belongs to; on the operator's pods.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Recommended label naming the tool that manages an object; set on create, for people.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`], field manager of every write, and controller name in metrics.
pub const CONFIGMAPSYNC: &str = "configmapsync";
/// Name of the definition of our kind.
pub const CUSTOM_RESOURCE_DEFINITION: &str = "configmapsyncs.apps.nishaf.info";
/// What the API server knows of a caller whose token is bound to a pod: the pod's uid.
pub const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// Verb on `configmapsyncs` that allows putting our marks on a `ConfigMap`. Nothing is asked for by
/// it: it only exists to be granted.
pub const VERB_STAMP: &str = "stamp";
/// Namespaces that are never written to, unless somebody says otherwise.
pub const PROTECTED_NAMESPACES: &str = "kube-system,kube-public,kube-node-lease";
/// Name of the policy, and of its binding, that lets only the announced pod write copies.
pub const POLICY_FENCE: &str = "configmapsync-fence";
/// Name of the policy, and of its binding, that lets nobody borrow the operator's rights.
pub const POLICY_CONSENT: &str = "configmapsync-consent";
/// Name of the policy, and of its binding, that says who may put our marks on a `ConfigMap`.
pub const POLICY_MARKS: &str = "configmapsync-marks";
/// Name of the policy, and of its binding, that keeps the operator to its own copies.
pub const POLICY_BOUNDS: &str = "configmapsync-bounds";
/// Reason of the Event that tells that orphans are not swept, since there are too many.
pub const EVENT_SWEEP_HELD: &str = "SweepHeld";
/// Reporting controller of our Events.
pub const EVENT_CONTROLLER: &str = "apps.nishaf.info/configmapsync";

/// Name of the `ConfigMap` that Kubernetes publishes in every namespace; never a destination.
pub const KUBE_ROOT_CA: &str = "kube-root-ca.crt";

/// Condition type: the copies equal the source.
pub const CONDITION_READY: &str = "Ready";
/// Condition type: only a person can help.
pub const CONDITION_STALLED: &str = "Stalled";

/// Namespace and name of a namespaced object, written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedName {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

// === impl NamespacedName ===

impl NamespacedName {
    /// Names the object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The text is not of the form `namespace/name`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form namespace/name")]
pub struct NotANamespacedName(String);

impl FromStr for NamespacedName {
    type Err = NotANamespacedName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotANamespacedName(text.to_owned())),
        }
    }
}

/// Why a `ConfigMapSync`, or one of its destinations, is as it is.
///
/// One vocabulary for condition reason, Event reason, metric label and span attribute. Ordered
/// worst first: of several destinations, the least reason is the one that the sync reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `spec.suspend` is set: nothing is written.
    Suspended,
    /// The `ConfigMapSync` is being deleted and its copies are being cleaned up.
    Deleting,
    /// The spec asks for something that cannot be.
    InvalidSpec,
    /// The source does not exist.
    SourceNotFound,
    /// The source's owner forbids copying it.
    SourceRefused,
    /// The source is itself a copy.
    SourceIsCopy,
    /// Something that is not ours stands at the destination.
    Conflict,
    /// The destination namespace is protected.
    DestinationProtected,
    /// The copy would exceed what the API server stores.
    TooLarge,
    /// RBAC, a quota, a webhook or a policy refused.
    Forbidden,
    /// Somebody else keeps changing the same copy.
    Contended,
    /// The API server failed.
    ApiError,
    /// The destination namespace does not exist.
    DestinationNamespaceNotFound,
    /// The destination namespace is being deleted.
    NamespaceTerminating,
    /// An old copy waits for its replacement.
    DeletionHeld,
    /// The source lacks a key that the spec lists.
    KeyNotFound,
    /// Work is under way.
    Progressing,
    /// Every copy equals its source.
    Synced,
}

/// What makes another attempt worth while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing is in the way.
    AtOnce,
    /// What is in the way may pass although nothing that we watch changes.
    Backoff,
    /// The replacement of the old copy has to be in order first.
    WithReplacement,
    /// Something that we watch has to change; until then, a look per resync period.
    OnChange,
}

// === impl Reason ===

impl Reason {
    /// Every reason, worst first.
    pub const ALL: [Self; 18] = [
        Self::Suspended,
        Self::Deleting,
        Self::InvalidSpec,
        Self::SourceNotFound,
        Self::SourceRefused,
        Self::SourceIsCopy,
        Self::Conflict,
        Self::DestinationProtected,
        Self::TooLarge,
        Self::Forbidden,
        Self::Contended,
        Self::ApiError,
        Self::DestinationNamespaceNotFound,
        Self::NamespaceTerminating,
        Self::DeletionHeld,
        Self::KeyNotFound,
        Self::Progressing,
        Self::Synced,
    ];

    /// The reason as conditions, Events, metrics and spans spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::Deleting => "Deleting",
            Self::InvalidSpec => "InvalidSpec",
            Self::SourceNotFound => "SourceNotFound",
            Self::SourceRefused => "SourceRefused",
            Self::SourceIsCopy => "SourceIsCopy",
            Self::Conflict => "Conflict",
            Self::DestinationProtected => "DestinationProtected",
            Self::TooLarge => "TooLarge",
            Self::Forbidden => "Forbidden",
            Self::Contended => "Contended",
            Self::ApiError => "ApiError",
            Self::DestinationNamespaceNotFound => "DestinationNamespaceNotFound",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::DeletionHeld => "DeletionHeld",
            Self::KeyNotFound => "KeyNotFound",
            Self::Progressing => "Progressing",
            Self::Synced => "Synced",
        }
    }

    /// Whether only a person can help: the condition `Stalled` (kstatus).
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::SourceIsCopy
                | Self::DestinationProtected
                | Self::InvalidSpec
                | Self::Conflict
                | Self::TooLarge
        )
    }

    /// What makes another attempt worth while.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Progressing => Retry::AtOnce,
            Self::Deleting | Self::Forbidden | Self::Contended | Self::ApiError => Retry::Backoff,
            Self::DeletionHeld => Retry::WithReplacement,
            Self::Synced
            | Self::Suspended
            | Self::SourceNotFound
            | Self::SourceRefused
            | Self::KeyNotFound
            | Self::DestinationNamespaceNotFound
            | Self::NamespaceTerminating
            | Self::SourceIsCopy
            | Self::DestinationProtected
            | Self::InvalidSpec
            | Self::Conflict
            | Self::TooLarge => Retry::OnChange,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaced_name_reads_back_as_it_was_written() {
        let name = NamespacedName::new("team-a", "settings.v2");
        assert_eq!(name.to_string().parse(), Ok(name));
    }

    #[test]
    fn what_is_not_namespace_slash_name_is_refused() {
        for text in ["", "a", "/a", "a/", "a/b/c"] {
            assert!(text.parse::<NamespacedName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reasons_are_ordered_as_listed_worst_first() {
        assert!(Reason::ALL.is_sorted());
        assert_eq!(Reason::ALL.len(), Reason::Synced as usize + 1);
    }

    #[test]
    fn each_reason_has_its_row() {
        use Retry::AtOnce;
        use Retry::Backoff;
        use Retry::OnChange;
        use Retry::WithReplacement;
        let rows = [
            (Reason::Synced, false, OnChange),
            (Reason::Progressing, false, AtOnce),
            (Reason::Suspended, false, OnChange),
            (Reason::Deleting, false, Backoff),
            (Reason::SourceNotFound, false, OnChange),
            (Reason::SourceRefused, false, OnChange),
            (Reason::KeyNotFound, false, OnChange),
            (Reason::DestinationNamespaceNotFound, false, OnChange),
            (Reason::NamespaceTerminating, false, OnChange),
            (Reason::SourceIsCopy, true, OnChange),
            (Reason::DestinationProtected, true, OnChange),
            (Reason::InvalidSpec, true, OnChange),
            (Reason::Conflict, true, OnChange),
            (Reason::TooLarge, true, OnChange),
            (Reason::Forbidden, false, Backoff),
            (Reason::Contended, false, Backoff),
            (Reason::ApiError, false, Backoff),
            (Reason::DeletionHeld, false, WithReplacement),
        ];
        for reason in Reason::ALL {
            let found: Vec<_> = rows.iter().filter(|(named, ..)| *named == reason).collect();
            let [(_, stalled, retry)] = found[..] else { panic!("{reason} has no row of its own") };
            assert_eq!(reason.is_stalled(), *stalled, "{reason}");
            assert_eq!(reason.retry(), *retry, "{reason}");
        }
    }
}
