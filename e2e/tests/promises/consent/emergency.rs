//! An administrator can get past the policy, and enforce it again, as documented.

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::POLICY_CONSENT;
use harness::attempt::Attempt;
use harness::attempt::syncs;
use harness::documented::Shell;
use harness::documented::blocks;
use harness::fixture::SOON;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::consent::support::cluster_with_tenant;
use crate::consent::support::manifest;
use crate::consent::support::spec;

#[tokio::test]
async fn the_documented_commands_disable_and_restore_the_policy() -> Result<()> {
    let (cluster, tenant) = cluster_with_tenant().await?;
    let control_plane = &cluster.control_plane;
    let shell = Shell::new(control_plane.kubeconfig(), control_plane.folder()).await?;
    let theft = json!({"sourceNamespace": "victim", "configMapName": "secret"});
    let path = format!("{}?dryRun=All", syncs("tenant"));
    let attempt = Attempt::create("copy victim/secret", path, manifest("probe", &spec(&theft)));
    let blocks = blocks("security.md", "### How do I get past a policy in an emergency?")?;
    for (number, is_enforced) in [(0, false), (1, true)] {
        shell.run(blocks.get(number).context("a block is missing")?).await?;
        let state = if is_enforced { "denies" } else { "admits" };
        until(format!("the policy {state} the ConfigMapSync"), SOON, || async {
            let response = attempt.send_as(&tenant).await?;
            let is_refused = response.is_refused_by(POLICY_CONSENT);
            let is_done = if is_enforced { is_refused } else { response.is_allowed() };
            Ok(Seen::from_bool(is_done, || format!("{response}")))
        })
        .await?;
    }
    Ok(())
}
