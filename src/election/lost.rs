//! Why leadership ended.

/// Why leadership ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another process holds the Lease.
    #[error("the Lease is held by {0}")]
    LeaseHeldBy(String),
    /// The leader record names another process.
    #[error("the leader record (ConfigMapSyncLeader) names {0}")]
    RecordNames(String),
    /// The Lease was not renewed before the renew deadline.
    #[error("the Lease was not renewed before the renew deadline")]
    Deadline,
}
