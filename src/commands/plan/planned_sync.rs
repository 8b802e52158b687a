//! One sync in a plan.

use crate::api::namespaced_name::NamespacedName;
use crate::commands::plan::forecast::Forecast;

/// A sync, and what the operator would do for it.
pub struct PlannedSync {
    /// Namespace and name of the sync.
    pub sync: NamespacedName,
    /// Whether it exists in the cluster.
    pub exists: bool,
    /// What the operator would do.
    pub forecast: Forecast,
}
