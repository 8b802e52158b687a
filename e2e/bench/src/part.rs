//! The parts of the bench, by name.

use clap::ValueEnum;
use testbed::control_plane::Recorded;

/// One part of the bench.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Part {
    /// The rate of the raw writer, with 1, 8, 32 and 64 requests in flight.
    Limit,
    /// A source copied to 1,000 namespaces: creation, update, an edit without effect, repair, deletion.
    Copies,
    /// The time from an edit of a source to its first updated copy, of 1 and of 1,000, beside that of a bare
    /// client: 100 edits each.
    FirstCopy,
    /// A namespace that starts to match the selector, stops, and matches again.
    Namespaces,
    /// 1,000 namespaces, one of which denies writes.
    Refused,
    /// 5,000 ConfigMapSyncs at once; then a restart with all synced, and an idle period.
    Cold,
    /// A ConfigMapSync with one copy, created while one with 5,000 copies is being reconciled.
    Fair,
    /// The time that the fence, and all four policies, add to an update.
    Fence,
    /// The time without a writer after SIGTERM, a crash and the loss of the leader: 50 times each, with a
    /// lease duration of 15 seconds (the default) and of 5.
    Failover,
    /// The memory for 10,000 ConfigMapSyncs and copies, next to 20,000 other ConfigMaps, and under steady
    /// edits.
    Memory,
    /// 100,000 copies of 100 sources, 20,000 ConfigMapSyncs with one copy each, and 5,000 namespaces:
    /// creation, restart, an edit of each source, a change of the leader, orphan collection. Only if it is
    /// named: it takes an hour.
    Scale,
}

// === impl Part ===

impl Part {
    /// All parts, in the order of measurement.
    pub const ALL: [Self; 11] = [
        Self::Limit,
        Self::Copies,
        Self::FirstCopy,
        Self::Namespaces,
        Self::Refused,
        Self::Cold,
        Self::Fair,
        Self::Fence,
        Self::Failover,
        Self::Memory,
        Self::Scale,
    ];

    /// Whether it is measured if no part is named.
    pub(crate) const fn is_default(self) -> bool {
        !matches!(self, Self::Scale)
    }

    /// How much of each request the audit log has to record for it.
    pub(crate) const fn recorded(self) -> Recorded {
        match self {
            // Recording the bodies of a request takes longer than evaluating a policy.
            Self::FirstCopy | Self::Fence | Self::Memory | Self::Scale => Recorded::Counted,
            _ => Recorded::Whole,
        }
    }
}
