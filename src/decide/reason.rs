//! The reasons that a `ConfigMapSync` reports.

/// The state of a `ConfigMapSync` or of one of its destinations.
///
/// Condition reasons, Event reasons, metric labels and span attributes use the same names. The
/// variants are ordered by severity, most severe first: a `ConfigMapSync` reports the most severe
/// reason of all its destinations.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumMessage,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Reason {
    /// `spec.suspend` is true: nothing is written.
    Suspended,
    /// The `ConfigMapSync` is being deleted and its copies are being cleaned up.
    Deleting,
    /// The spec is invalid.
    InvalidSpec,
    /// The source does not exist.
    SourceNotFound,
    /// The annotation `apps.nishaf.info/no-copy` of the source forbids copying, or is unclear.
    SourceRefused,
    /// The annotation `apps.nishaf.info/no-copies` of the destination namespace forbids copies in it, or
    /// is unclear.
    DestinationRefused,
    /// The source is itself a copy.
    SourceIsCopy,
    /// The destination exists and is not a copy of this `ConfigMapSync`.
    Conflict,
    /// The destination namespace is protected.
    DestinationProtected,
    /// The copy exceeds the size limit of the API server.
    TooLarge,
    /// RBAC, a quota, a webhook or a policy denied the request.
    Forbidden,
    /// The ServiceAccount of the `ConfigMapSync` lacks a permission.
    NotPermitted,
    /// Another client keeps changing the same copy, or removing the finalizer.
    Contended,
    /// The API server failed, or is unreachable.
    ApiError,
    /// The destination namespace does not exist.
    DestinationNamespaceNotFound,
    /// The destination namespace is being deleted.
    NamespaceTerminating,
    /// An old copy is kept until its replacement is written.
    DeletionHeld,
    /// The source lacks a key listed in `spec.keys`.
    KeyNotFound,
    /// Reads or writes are pending.
    Progressing,
    /// Every copy equals its source.
    Synced,
}

/// When a reconcile is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Immediately.
    Immediately,
    /// With exponential backoff: no watch reports when the cause disappears.
    Backoff,
    /// Together with the replacement of the old copy.
    WithReplacement,
    /// When a watched object changes, and once per resync period.
    OnChange,
}

// === impl Reason ===

impl Reason {
    /// The name in conditions, Events, metrics and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether user intervention is required: the condition `Stalled` (kstatus).
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::SourceRefused
                | Self::DestinationRefused
                | Self::SourceIsCopy
                | Self::DestinationProtected
                | Self::InvalidSpec
                | Self::Conflict
                | Self::TooLarge
        )
    }

    /// Whether something is wrong, so that the trace of a reconcile that ends with it is an error.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Synced | Self::Progressing | Self::Suspended | Self::Deleting)
    }

    /// When a reconcile is retried.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Progressing => Retry::Immediately,
            Self::Deleting
            | Self::Forbidden
            | Self::NotPermitted
            | Self::Contended
            | Self::ApiError => Retry::Backoff,
            Self::DeletionHeld => Retry::WithReplacement,
            Self::Synced
            | Self::Suspended
            | Self::SourceNotFound
            | Self::SourceRefused
            | Self::DestinationRefused
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

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn reasons_are_ordered_by_severity() {
        assert!(Reason::VARIANTS.is_sorted());
        assert_eq!(Reason::VARIANTS.len(), Reason::Synced as usize + 1);
    }

    #[test]
    fn only_reasons_of_a_person_or_of_pending_work_are_no_faults() {
        let all = Reason::VARIANTS.iter();
        let no_faults: Vec<_> = all.copied().filter(|reason| !reason.is_fault()).collect();
        let expected = [Reason::Suspended, Reason::Deleting, Reason::Progressing, Reason::Synced];
        assert_eq!(no_faults, expected);
    }

    #[test]
    fn every_reason_has_stalled_and_retry() {
        use Retry::Backoff;
        use Retry::Immediately;
        use Retry::OnChange;
        use Retry::WithReplacement;
        let rows = [
            (Reason::Synced, false, OnChange),
            (Reason::Progressing, false, Immediately),
            (Reason::Suspended, false, OnChange),
            (Reason::Deleting, false, Backoff),
            (Reason::SourceNotFound, false, OnChange),
            (Reason::SourceRefused, true, OnChange),
            (Reason::DestinationRefused, true, OnChange),
            (Reason::KeyNotFound, false, OnChange),
            (Reason::DestinationNamespaceNotFound, false, OnChange),
            (Reason::NamespaceTerminating, false, OnChange),
            (Reason::SourceIsCopy, true, OnChange),
            (Reason::DestinationProtected, true, OnChange),
            (Reason::InvalidSpec, true, OnChange),
            (Reason::Conflict, true, OnChange),
            (Reason::TooLarge, true, OnChange),
            (Reason::Forbidden, false, Backoff),
            (Reason::NotPermitted, false, Backoff),
            (Reason::Contended, false, Backoff),
            (Reason::ApiError, false, Backoff),
            (Reason::DeletionHeld, false, WithReplacement),
        ];
        for &reason in Reason::VARIANTS {
            let found: Vec<_> = rows.iter().filter(|(named, ..)| *named == reason).collect();
            let [(_, stalled, retry)] = found[..] else {
                panic!("{reason} is not in the table exactly once")
            };
            assert_eq!(reason.is_stalled(), *stalled, "{reason}");
            assert_eq!(reason.retry(), *retry, "{reason}");
        }
    }
}
