//! What a run of the demo has shown.

use std::time::Duration;

use testbed::sandbox::Footprint;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the cluster would leave behind if it did; of a cluster of our own.
    pub footprint: Option<Footprint>,
    /// The Pod Security level that the operator's namespace enforces.
    pub pod_security: String,
    /// The pods that hold a Lease of the operator, before one was deleted.
    pub leaders: Vec<String>,
    /// How long the copy took to follow the source.
    pub follow: Duration,
    /// How long it took from the leader's end until another led.
    pub failover: Duration,
    /// The names of the spans of one trace, as they were drawn.
    pub spans: Vec<String>,
}
