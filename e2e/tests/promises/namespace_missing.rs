//! A missing destination namespace is never created. The operator watches for it instead of trying
//! to write, and copies when it appears.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;

/// The copy is written within 5 seconds after the namespace appears; twice that, since other tests
/// run in parallel.
const FOLLOWED: Duration = Duration::from_secs(10);
/// By then, the backoff of an operator that retries instead of watching would exceed [`FOLLOWED`].
const ABSENT: Duration = Duration::from_secs(18);

/// The operator's requests in `namespace`.
fn requests_in<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    requests_by_operator(events).filter(|event| event.namespace() == namespace).collect()
}

#[tokio::test]
async fn a_missing_namespace_is_watched_for_and_not_created() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "later")).await?;
    let sync = fixture.wait_reason("central", "sync", "DestinationNamespaceNotFound", SOON).await?;
    ensure!(message(&sync).contains("later"), "{}", message(&sync));

    stays("the namespace later is missing", ABSENT, || async {
        let found = fixture.namespace("later").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await?;
    let events = cluster.audit().since(mark).await?;
    let requests = requests_in(&events, "later");
    ensure!(requests.is_empty(), "requests for a missing namespace: {}", lines(&requests));

    fixture.create_namespaces(&["later"]).await?;
    fixture.wait_data("later", "shared", &[("a", "1")], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let requests = requests_in(&events, "later");
    let verbs: Vec<_> = requests.iter().map(|event| event.verb.as_str()).collect();
    ensure!(verbs == ["create"], "expected one create that succeeds: {}", lines(&requests));
    let of_namespaces =
        requests_by_operator(&events).filter(|event| event.resource() == "namespaces");
    let written: Vec<_> = of_namespaces.filter(|event| event.is_write()).collect();
    ensure!(written.is_empty(), "namespaces were written: {}", lines(&written));
    Ok(())
}
