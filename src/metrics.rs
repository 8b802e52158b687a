//! Prometheus metrics, under the names of controller-runtime and client-go where they have one.
//!
//! Every series with a bounded set of labels exists from the start, at zero; those of watches, which
//! a standby does not have, from the start of a term.

mod copies;
mod exemplar;
mod leadership;
mod process;
mod reconciles;
mod requests;
mod watches;

use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use leadership::FenceState;
pub use leadership::LeaseFailure;
pub use reconciles::ReconcileResult;
pub use reconciles::RunningReconcile;

use crate::metrics::copies::CopyMetrics;
use crate::metrics::leadership::LeadershipMetrics;
use crate::metrics::reconciles::ReconcileMetrics;
use crate::metrics::requests::RequestMetrics;
use crate::metrics::watches::WatchMetrics;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles and their queue.
    pub reconciles: ReconcileMetrics,
    /// Copies and orphans.
    pub copies: CopyMetrics,
    /// Lease, term and fence.
    pub leadership: LeadershipMetrics,
    /// Requests to the API server.
    pub requests: RequestMetrics,
    /// Watches.
    pub watches: WatchMetrics,
}

// === impl Metrics ===

impl Metrics {
    /// All metrics at zero. `write_actions` are the values of the label `action`.
    #[must_use]
    pub fn new(write_actions: &[&'static str]) -> Self {
        let mut registry = Registry::default();
        let reconciles = ReconcileMetrics::register(&mut registry);
        let copies = CopyMetrics::register(&mut registry, write_actions);
        let leadership = LeadershipMetrics::register(&mut registry);
        let requests = RequestMetrics::register(&mut registry);
        let watches = WatchMetrics::register(&mut registry);
        process::register(&mut registry);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("configmapsync_build", "Version of the operator", build);
        Self { registry, reconciles, copies, leadership, requests, watches }
    }

    /// All metrics in the `OpenMetrics` text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn every_bounded_series_starts_at_zero() {
        let text = Metrics::new(&["create"]).exposition();
        for line in [
            r#"controller_runtime_reconcile_total{controller="configmapsync",result="success"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="configmapsync"} 0"#,
            r#"leader_election_master_status{name="configmapsync"} 0"#,
            r#"configmapsync_writes_total{action="create",result="error"} 0"#,
            r#"configmapsync_transitions_total{reason="Synced"} 0"#,
            r#"configmapsync_syncs{reason="Synced"} 0"#,
            r#"workqueue_retries_total{name="configmapsync"} 0"#,
            concat!(r#"configmapsync_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
            r#"configmapsync_fence{state="unknown"} 1"#,
            r#"configmapsync_fence{state="enforced"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_fence_has_one_state_at_a_time() {
        let metrics = Metrics::new(&[]);
        metrics.leadership.set_fence(FenceState::Absent);
        metrics.leadership.set_fence(FenceState::Enforced);
        let text = metrics.exposition();
        for &state in FenceState::VARIANTS {
            let name: &str = state.into();
            let value = u8::from(state == FenceState::Enforced);
            let line = format!(r#"configmapsync_fence{{state="{name}"}} {value}"#);
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_age_of_a_watch_is_exported_once_it_begins() {
        let metrics = Metrics::new(&[]);
        let series = r#"configmapsync_watch_age_seconds{resource="namespaces"} "#;
        assert!(!metrics.exposition().contains(series));
        metrics.watches.heard("namespaces", None);
        let text = metrics.exposition();
        let age = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        assert!(age.parse::<f64>().unwrap() < 60.0, "{age}");
    }

    #[test]
    fn the_oldest_reconcile_counts_until_it_finishes() {
        let metrics = Metrics::new(&[]);
        let oldest = || {
            let text = metrics.exposition();
            let age = text
                .lines()
                .find_map(|line| line.strip_prefix("configmapsync_oldest_reconcile_seconds "));
            age.unwrap().parse::<f64>().unwrap()
        };
        let first = metrics.reconciles.started(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
        let second = metrics.reconciles.started(Duration::ZERO);
        assert!(oldest() >= 0.02);
        first.finished(ReconcileResult::Success, None);
        second.finished(ReconcileResult::Success, None);
        assert!(oldest() < 0.001, "none is running");
    }

    #[test]
    fn a_reconcile_is_counted_once() {
        let metrics = Metrics::new(&[]);
        let reconcile = metrics.reconciles.started(Duration::ZERO);
        reconcile.finished(ReconcileResult::Error, Some("4bf92f35".to_owned()));
        let text = metrics.exposition();
        assert!(text.contains(r#"result="error"} 1"#), "{text}");
        assert!(text.contains(r#"# {trace_id="4bf92f35"}"#), "{text}");
        assert!(
            text.contains(r#"controller_runtime_active_workers{controller="configmapsync"} 0"#)
        );
    }
}
