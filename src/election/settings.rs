//! What an election needs to know and to call.

use std::time::Duration;

use kube::Client;

use crate::election::identity::HolderIdentity;

/// Parameters of an election. The terms are those of client-go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// Identity of this process in the Lease.
    pub holder: HolderIdentity,
    /// `metadata.uid` of our pod: the fence compares it with the uid in the caller's token.
    pub pod_uid: String,
    /// How long a standby waits after the last renewal before it takes the Lease.
    pub lease_duration: Duration,
    /// How long the leader continues after its last renewal.
    pub renew_deadline: Duration,
    /// How often the Lease is read.
    pub retry_period: Duration,
}

/// The clients that an election uses.
#[derive(Clone)]
pub struct Clients {
    /// For the Lease and the leader record. Not behind the write gate, and used for nothing else,
    /// so that a renewal never waits for another call.
    pub lease: Client,
    /// For the watch on the Lease, which may be silent for minutes.
    pub watches: Client,
}
