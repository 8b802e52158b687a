//! Tenants who use the operator, a `GitOps` controller or a deleted namespace to reach what their
//! ServiceAccount may not.

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::lines;

use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::lockdown;
use crate::service_account::support::permit;
use crate::service_account::support::reads;
use crate::support::audit::copy_writes;
use crate::support::conditions::message;

/// Data that the tenant may not read.
const SECRET: &str = "bytes-of-the-victim";

#[tokio::test]
async fn a_recreated_namespace_neither_gives_nor_takes() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["mallory", "pr-77"]).await?;
    fixture.create_config_map("pr-77", "settings", &[("key", "mine")]).await?;
    fixture.create_config_map("mallory", "payload", &[("key", "harm")]).await?;
    permit(
        &cluster.control_plane,
        "mallory",
        Some("pr-77"),
        &["get", "create", "update", "delete"],
    )
    .await?;
    permit(
        &cluster.control_plane,
        "mallory",
        Some("mallory"),
        &["get", "create", "update", "delete"],
    )
    .await?;
    let read = by_account("pr-77", "settings", "mallory");
    fixture.create_sync("mallory", "read", read).await?;
    let write = by_account("mallory", "payload", "pr-77");
    fixture.create_sync("mallory", "write", write).await?;
    fixture.wait_data("mallory", "settings", &[("key", "mine")], SOON).await?;
    fixture.wait_data("pr-77", "payload", &[("key", "harm")], SOON).await?;

    fixture.delete_namespace("pr-77").await?;
    fixture.wait_no_namespace("pr-77", SOON).await?;
    let mark = cluster.audit().mark().await?;
    // Another team creates the namespace again.
    fixture.create_namespaces(&["pr-77"]).await?;
    fixture.create_config_map("pr-77", "settings", &[("key", SECRET)]).await?;
    for name in ["read", "write"] {
        let sync = fixture.wait_reason("mallory", name, "NotPermitted", SOON).await?;
        ensure!(message(&sync).contains("ServiceAccount mallory/copier"), "{}", message(&sync));
    }
    fixture.wait_data("mallory", "settings", &[("key", "mine")], SOON).await?;
    ensure!(fixture.config_map("pr-77", "payload").await?.is_none(), "pr-77/payload is a copy");
    let events = cluster.audit().since(mark).await?;
    let sources = reads(&events, "pr-77", "settings");
    ensure!(sources.is_empty(), "{}", lines(&sources));
    Ok(())
}

#[tokio::test]
async fn a_gitops_controller_grants_nothing_under_lockdown() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, lockdown()).await?;
    // The fixture is cluster-admin, as are many GitOps controllers.
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["tenant", "victim", "platform", "trusted-1", "trusted"]).await?;
    fixture.create_config_map("victim", "secret", &[("key", SECRET)]).await?;
    fixture.create_config_map("tenant", "own", &[("key", "mine")]).await?;
    permit(&cluster.control_plane, "tenant", Some("tenant"), WRITES).await?;
    let mark = cluster.audit().mark().await?;
    for (namespace, name, spec) in [
        ("tenant", "stolen", one_to_one("victim", "secret", "tenant")),
        ("tenant", "absent", one_to_one("victim", "nothing", "tenant")),
        ("trusted", "not-listed", one_to_one("victim", "secret", "trusted")),
    ] {
        fixture.create_sync(namespace, name, spec).await?;
        let sync = fixture.wait_reason(namespace, name, "NotPermitted", SOON).await?;
        let account = format!("ServiceAccount {namespace}/copier");
        ensure!(message(&sync).contains(&account), "{}", message(&sync));
    }
    let events = cluster.audit().since(mark).await?;
    let (writes, sources) = (copy_writes(&events), reads(&events, "victim", "secret"));
    ensure!(writes.is_empty() && sources.is_empty(), "{}{}", lines(&writes), lines(&sources));
    for namespace in ["platform", "trusted-1"] {
        fixture.create_sync(namespace, "shared", one_to_one("victim", "secret", namespace)).await?;
        fixture.wait_data(namespace, "secret", &[("key", SECRET)], SOON).await?;
    }
    Ok(())
}
