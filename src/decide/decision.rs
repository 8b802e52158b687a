//! What follows from one observation.

use crate::decide::Desired;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::RequiredReads;
use crate::decide::desired;
use crate::decide::plan;
use crate::decide::reads::required_reads;

/// What follows from one observation. While reads are required, the plan is not final.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Which copies should exist.
    pub desired: Desired,
    /// The writes that make the cluster match that.
    pub plan: Plan,
    /// What has to be read before these writes are made.
    pub reads: RequiredReads,
}

// === impl Decision ===

impl Decision {
    /// Decides on `observed`.
    ///
    /// Reading what is required and deciding again ends: a copy is requested at most once per version.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        let desired = desired(observed);
        let plan = plan(observed, &desired);
        let reads = required_reads(observed, &desired, &plan);
        Self { desired, plan, reads }
    }

    /// What has to be read. Nothing else is kept meanwhile: the plan refers to the content of the source,
    /// which may be large.
    #[must_use]
    pub fn into_reads(self) -> RequiredReads {
        self.reads
    }
}
