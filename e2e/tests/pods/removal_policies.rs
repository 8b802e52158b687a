//! The admission policies come and go with the release, and belong to one release alone.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_BOUNDS;
use configmapsync::names::POLICY_CONSENT;
use configmapsync::names::POLICY_FENCE;
use configmapsync::names::POLICY_MARKS;

use crate::helm_cluster::HelmCluster;

/// The values that leave them out.
const OFF: [(&str, &str); 4] = [
    ("policies.bounds", "false"),
    ("policies.consent", "false"),
    ("policies.fence", "false"),
    ("policies.marks", "false"),
];

async fn ensure_all_are_there(cluster: &HelmCluster) -> Result<()> {
    let mut found = cluster.policies().await?;
    found.sort();
    let wanted = [POLICY_BOUNDS, POLICY_CONSENT, POLICY_FENCE, POLICY_MARKS];
    // Each has a binding of its own name.
    let wanted: Vec<_> = wanted.into_iter().flat_map(|name| [name; 2]).collect();
    ensure!(found == wanted, "{found:?}");
    Ok(())
}

/// Left out by an upgrade they are gone, and a rollback brings them back; copies follow all the
/// time.
pub async fn they_go_and_come_back_with_the_release(
    cluster: &HelmCluster,
    syncs: usize,
) -> Result<()> {
    ensure_all_are_there(cluster).await?;
    cluster.install(&OFF).await?;
    let left = cluster.policies().await?;
    ensure!(left.is_empty(), "left: {left:?}");
    cluster.edit_is_followed("without policies", syncs).await?;
    cluster.helm.go_back().await?;
    cluster.wait_ready().await?;
    ensure_all_are_there(cluster).await?;
    cluster.edit_is_followed("with policies again", syncs).await
}

pub async fn a_second_release_is_refused(cluster: &HelmCluster) -> Result<()> {
    let refused = cluster.helm.install_as("another", &[("crds.install", "false".to_owned())]).await;
    let told = format!("{:#}", refused.err().context("a second release was installed")?);
    for words in ["ValidatingAdmissionPolicy", "exists and cannot be imported"] {
        ensure!(told.contains(words), "Helm said {told}");
    }
    ensure_all_are_there(cluster).await
}
