//! The admission policies are installed, removed and restored with the release, and belong to a
//! single release.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_BOUNDS;
use configmapsync::names::POLICY_CONSENT;
use configmapsync::names::POLICY_FENCE;
use configmapsync::names::POLICY_MARKS;

use crate::helm_cluster::HelmCluster;

/// The values that disable all policies of the release. Consent is none of them.
const NO_POLICIES: [(&str, &str); 3] =
    [("policies.bounds", "false"), ("policies.fence", "false"), ("policies.marks", "false")];

async fn ensure_all_exist(cluster: &HelmCluster) -> Result<()> {
    let mut found = cluster.policies().await?;
    found.sort();
    let wanted = [POLICY_BOUNDS, POLICY_CONSENT, POLICY_FENCE, POLICY_MARKS];
    // Each has a binding of the same name.
    let wanted: Vec<_> = wanted.into_iter().flat_map(|name| [name; 2]).collect();
    ensure!(found == wanted, "{found:?}");
    Ok(())
}

/// An upgrade without them removes them, and a rollback restores them. Copies are updated in either
/// state.
pub async fn policies_are_removed_and_restored_with_the_release(
    cluster: &HelmCluster,
    syncs: usize,
) -> Result<()> {
    ensure_all_exist(cluster).await?;
    cluster.install(&NO_POLICIES).await?;
    let left = cluster.policies().await?;
    ensure!(left == [POLICY_CONSENT; 2], "Helm has removed the policy consent: {left:?}");
    cluster.edit_and_wait("without policies", syncs).await?;
    cluster.helm.go_back().await?;
    cluster.wait_ready().await?;
    ensure_all_exist(cluster).await?;
    cluster.edit_and_wait("with policies again", syncs).await
}

pub async fn a_second_release_is_refused(cluster: &HelmCluster) -> Result<()> {
    let refused = cluster.helm.install_as("another", &[("crds.install", "false".to_owned())]).await;
    let error = format!("{:#}", refused.err().context("a second release was installed")?);
    for words in ["ValidatingAdmissionPolicy", "exists and cannot be imported"] {
        ensure!(error.contains(words), "{words:?} is not in the error of Helm: {error}");
    }
    ensure_all_exist(cluster).await
}
