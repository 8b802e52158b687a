//! What is known of the fence: the label `state` of `configmapsync_fence`.

/// What a trial told about the fence, the policy that lets only the announced leader write copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceState {
    /// A standby was refused by it: whoever does not lead cannot write.
    Enforced,
    /// A standby was let through: the policy, its kind or the announcement is missing.
    Absent,
    /// The leader was let through, as it has to be. Of the others this tells nothing.
    Admitted,
    /// The leader was refused by it: somebody else is announced.
    Refused,
    /// No trial has told anything yet, or the last one failed for another reason.
    Unknown,
}

// === impl FenceState ===

impl FenceState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Enforced, Self::Absent, Self::Admitted, Self::Refused, Self::Unknown];

    /// The state as the metric and the log spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Absent => "absent",
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}
