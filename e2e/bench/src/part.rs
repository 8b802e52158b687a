//! The parts of the bench, by name.

use clap::ValueEnum;
use testbed::control_plane::Recorded;

/// One part of the bench.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Part {
    /// What the API server takes from a raw writer, with 1, 8, 32 and 64 requests in flight.
    Limit,
    /// A source copied to 1,000 namespaces: created, updated, edited to no effect, repaired, deleted.
    Copies,
    /// A namespace that joins the selection, leaves it, and joins it again.
    Namespaces,
    /// 1,000 namespaces, of which one refuses.
    Refused,
    /// 5,000 syncs at once; then a restart with all in order, and a time in which nothing happens.
    Cold,
    /// A small sync that comes while one with 5,000 namespaces is at work.
    Fair,
    /// What the fence, and all four policies, add to the time of an update.
    Fence,
    /// How long nobody writes when the leader is asked to stop, and when it is killed: 50 times
    /// each, with a Lease that lasts 15 seconds, as by default, and with one that lasts 5.
    Failover,
    /// What 10,000 syncs and copies need, beside 20,000 ConfigMaps of others, and under steady edits.
    Memory,
}

// === impl Part ===

impl Part {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 9] = [
        Self::Limit,
        Self::Copies,
        Self::Namespaces,
        Self::Refused,
        Self::Cold,
        Self::Fair,
        Self::Fence,
        Self::Failover,
        Self::Memory,
    ];

    /// How much of the requests has to be recorded for it.
    pub(crate) const fn recorded(self) -> Recorded {
        match self {
            // What is written down of a request takes longer than any policy.
            Self::Fence | Self::Memory => Recorded::Counted,
            _ => Recorded::Whole,
        }
    }
}
