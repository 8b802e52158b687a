//! A release that is limited to some namespaces works with Roles there, and leaves nothing.

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::helm_cluster;
use crate::helm_cluster::COPIES;
use crate::helm_cluster::HelmCluster;
use crate::helm_cluster::SYNCS;

/// The namespace of the source and the ConfigMapSyncs, and that of the copies. The cluster has neither
/// ConfigMapSyncs nor copies.
const SCOPE: [(&str, &str); 2] = [("scope.namespaces[0]", SYNCS), ("scope.namespaces[1]", COPIES)];

pub async fn a_limited_release_needs_no_other_permissions(cluster: &HelmCluster) -> Result<()> {
    let mark = cluster.audit().mark().await?;
    cluster.install(&SCOPE).await?;
    cluster.create_syncs(2).await?;
    cluster.wait_synced(2).await?;
    cluster.edit_and_wait("in a scope", 2).await?;
    // A copy that is deleted is created again.
    cluster.delete_copies().await?;
    cluster.wait_synced(2).await?;
    cluster.delete_syncs(0..1).await?;
    let left = cluster.copies().await?;
    ensure!(left.keys().eq(["copy-1"]), "{:?}", left.keys());
    let events = cluster.audit().since(mark).await?;
    let denied: Vec<_> = requests_by_operator(&events).filter(|it| is_denied(it)).collect();
    ensure!(denied.is_empty(), "{}", lines(&denied));

    cluster.helm.uninstall().await?;
    let copies = cluster.copies().await?;
    let is_kept = copies.len() == 1 && !copies.values().any(helm_cluster::is_deletable);
    ensure!(is_kept, "{copies:?}");
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync still has the finalizer");
    cluster.ensure_nothing_remains().await
}

/// Whether RBAC denies a request: policies deny some, too.
fn is_denied(event: &Event) -> bool {
    let status = &event.response_status;
    status.code == 403 && !status.message.contains("ValidatingAdmissionPolicy")
}
