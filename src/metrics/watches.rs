//! Metrics of watches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric as _;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Metrics of the watches of this process. A standby has none.
#[derive(Clone, Debug, Default)]
pub struct WatchMetrics {
    /// When the API server was last heard, by resource and namespace.
    last_heard: Arc<Mutex<BTreeMap<WatchKey, Instant>>>,
}

/// The resource, and the namespace if it is watched in one only.
type WatchKey = (&'static str, Option<String>);

// === impl WatchMetrics ===

impl WatchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// The watch of `resource`, in the cluster or in one namespace, begins, or the API server has sent a
    /// page of its list, an event or a bookmark.
    pub fn heard(&self, resource: &'static str, namespace: Option<&str>) {
        let watch = (resource, namespace.map(str::to_owned));
        self.last_heard.lock().insert(watch, Instant::now());
    }

    /// When each resource was last heard: of several watches, the one that has waited longest.
    fn oldest(&self) -> BTreeMap<&'static str, Instant> {
        let mut oldest = BTreeMap::new();
        for ((resource, _), last) in self.last_heard.lock().iter() {
            let known = oldest.entry(*resource).or_insert(*last);
            *known = (*known).min(*last);
        }
        oldest
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "configmapsync_watch_age_seconds",
            "Time since the API server last sent a page of the list, an event or a bookmark to the \
             watch of this resource; usually below 90.",
            None,
            MetricType::Gauge,
        )?;
        for (resource, last) in self.oldest() {
            let age = ConstGauge::new(last.elapsed().as_secs_f64());
            age.encode(family.encode_family(&[("resource", resource)])?)?;
        }
        Ok(())
    }
}
