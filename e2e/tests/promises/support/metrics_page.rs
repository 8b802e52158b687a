//! The metrics of a replica at one moment.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::replica::Replica;

/// The metrics page, in the `OpenMetrics` format.
pub struct Metrics(pub String);

impl Metrics {
    pub async fn of(replica: &Replica) -> Result<Self> {
        Ok(Self(replica.metrics().await?))
    }

    /// The value of the series with this name and at least these labels. Fails unless there is
    /// exactly one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let values: Vec<_> = self.values(name, labels)?;
        ensure!(values.len() == 1, "{} series {name}{labels:?} in\n{}", values.len(), self.0);
        Ok(values[0])
    }

    /// The values of all series with this name and at least these labels.
    pub fn values(&self, name: &str, labels: &[(&str, &str)]) -> Result<Vec<f64>> {
        let pairs: Vec<_> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        series
            .filter(|(series, _)| {
                let (found, has) = series.split_once('{').unwrap_or((series, ""));
                found == name && pairs.iter().all(|pair| has.contains(pair.as_str()))
            })
            .map(|(_, value)| value.parse().with_context(|| format!("{name} is {value}")))
            .collect()
    }

    /// Reconciles with this result.
    pub fn reconciles(&self, result: &str) -> Result<f64> {
        self.value("controller_runtime_reconcile_total", &[("result", result)])
    }

    /// Writes of copies with this action and result.
    pub fn writes(&self, action: &str, result: &str) -> Result<f64> {
        self.value("configmapsync_writes_total", &[("action", action), ("result", result)])
    }

    /// Changes of the condition `Ready` to this reason.
    pub fn transitions(&self, reason: &str) -> Result<f64> {
        self.value("configmapsync_transitions_total", &[("reason", reason)])
    }
}
