//! The observations of a run, for tests.

use std::time::Duration;

use testbed::jaeger::Trace;
use testbed::sandbox::Footprint;

/// The observations of a successful run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The processes, mounts and interfaces of the demo's own cluster, which must be gone.
    pub footprint: Option<Footprint>,
    /// The Pod Security level that the operator's namespace enforces.
    pub pod_security: String,
    /// The pods that held the Lease after the installation.
    pub leaders: Vec<String>,
    /// The time between an update of the source and that of the copy.
    pub follow: Duration,
    /// The time between the deletion of the leader's pod and the next leader.
    pub failover: Duration,
    /// The names of the spans in the trace of the first copy.
    pub spans: Vec<String>,
    /// The trace of the refused copy, in the demo's own cluster.
    pub failure: Option<Trace>,
}
