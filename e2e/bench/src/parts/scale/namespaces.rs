//! The namespaces of this part.

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::PREPARING;
use crate::raw_writer::in_flight;

/// The label of all namespaces of this part.
pub(super) const LABEL: &str = "scale";

/// Fewer namespaces are not measured unless there are no more.
const FEWEST: u32 = 50;

/// The name of the namespace with this index.
pub(super) fn namespace(index: u32) -> String {
    format!("scale-{index:05}")
}

/// Creates the namespaces from the index `from` to below `to`. Those below a width have its label.
pub(super) async fn create(cluster: &BenchCluster, from: u32, to: u32) -> Result<()> {
    if to <= from {
        return Ok(());
    }
    let api = Api::<Namespace>::all(cluster.control_plane.client());
    let work = async {
        in_flight(PREPARING, from..to, async |index| {
            let mut labels = json!({LABEL: "yes"});
            // The first call decides: later namespaces belong to no width.
            for width in widths(if from == 0 { to } else { 0 }) {
                if index < width {
                    labels[width_label(width)] = json!("yes");
                }
            }
            let name = namespace(index);
            let metadata = json!({"name": name, "labels": labels});
            let namespace = serde_json::from_value(json!({"metadata": metadata}))?;
            let created = api.create(&PostParams::default(), &namespace).await;
            created.with_context(|| format!("creating the namespace {name}"))
        })
        .await?;
        cluster.wait_published().await?;
        Ok(Done::new((), ""))
    };
    cluster.screen.step(&format!("scale: {to} namespaces"), work).await
}

/// The numbers of namespaces, if there are `all`: an eighth, a quarter, a half, and all. In few
/// namespaces, the time depends on other things than their number.
pub(super) fn widths(all: u32) -> Vec<u32> {
    let mut widths = [8, 4, 2, 1].map(|part| all / part).to_vec();
    widths.retain(|width| *width >= FEWEST || *width == all);
    widths
}

/// The label of the first `width` namespaces.
pub(super) fn width_label(width: u32) -> String {
    format!("scale-{width}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_double_up_to_all_namespaces() {
        assert_eq!(widths(1_000), [125, 250, 500, 1_000]);
        assert_eq!(widths(20), [20]);
    }
}
