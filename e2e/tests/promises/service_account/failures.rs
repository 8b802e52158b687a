//! Reviews that fail are no permission.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use testbed::audit::lines;

use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::service_account::support::reads;
use crate::support::audit::copy_writes;
use crate::support::conditions::message;

#[tokio::test]
async fn a_failed_review_is_reported_and_permits_nothing() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central", "tenant"]).await?;
    permit(control_plane, "tenant", Some("central"), &["get"]).await?;
    permit(control_plane, "tenant", Some("tenant"), WRITES).await?;
    let page = CannedResponse { status: 200, retry_after: None, body: "{}".to_owned() };
    let faults = [
        ("failed", Fault::Respond(CannedResponse::failure(500))),
        ("cut", Fault::Cut),
        // Longer than the read timeout.
        ("late", Fault::Delay(Duration::from_secs(30))),
        ("page", Fault::Respond(page)),
    ];
    for (name, fault) in faults {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        let mark = cluster.audit().mark().await?;
        let to_reviews = Rule::new(fault).method(Method::POST);
        proxy.add(to_reviews.path_contains("/subjectaccessreviews").always());
        fixture.create_sync("tenant", name, by_account("central", name, "tenant")).await?;
        let sync = fixture.wait_reason("tenant", name, "ApiError", SOON).await?;
        let words = "cannot review whether ServiceAccount tenant/copier may get ConfigMaps";
        ensure!(message(&sync).contains(words), "{}", message(&sync));
        let events = cluster.audit().since(mark).await?;
        let (writes, sources) = (copy_writes(&events), reads(&events, "central", name));
        ensure!(writes.is_empty() && sources.is_empty(), "{}{}", lines(&writes), lines(&sources));
        proxy.clear();
        fixture.wait_data("tenant", name, &[("a", "1")], SOON).await?;
        fixture.wait_reason("tenant", name, "Synced", SOON).await?;
    }
    Ok(())
}
