//! The one vocabulary of reasons.

/// Why a `ConfigMapSync`, or one of its destinations, is as it is.
///
/// One vocabulary for condition reason, Event reason, metric label and span attribute. Ordered
/// worst first: of several destinations, the least reason is the one that the sync reports.
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
    /// The reason as conditions, Events, metrics and spans spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
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

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn reasons_are_ordered_as_listed_worst_first() {
        assert!(Reason::VARIANTS.is_sorted());
        assert_eq!(Reason::VARIANTS.len(), Reason::Synced as usize + 1);
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
        for &reason in Reason::VARIANTS {
            let found: Vec<_> = rows.iter().filter(|(named, ..)| *named == reason).collect();
            let [(_, stalled, retry)] = found[..] else { panic!("{reason} has no row of its own") };
            assert_eq!(reason.is_stalled(), *stalled, "{reason}");
            assert_eq!(reason.retry(), *retry, "{reason}");
        }
    }
}
