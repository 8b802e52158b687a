//! Promise: a namespace that is missing is waited for, by watch and not by trying, and never
//! created by us.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;

/// "Appears: copy within 5 seconds", and as long again, since other tests run beside.
const FOLLOWED: Duration = Duration::from_secs(10);
/// A backoff that had begun with the first look would be beyond [`FOLLOWED`] by then.
const ABSENT: Duration = Duration::from_secs(18);

/// What the operator asked for that concerns `namespace`.
fn about<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    by_operator(events).filter(|event| event.namespace() == namespace).collect()
}

#[tokio::test]
async fn a_missing_namespace_is_waited_for_by_watch_and_never_created() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "later")).await?;
    let sync = fixture.wait_reason("central", "sync", "DestinationNamespaceNotFound", SOON).await?;
    ensure!(message(&sync).contains("later"), "{}", message(&sync));

    stays("the namespace is missing", ABSENT, || async {
        let found = fixture.namespace("later").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await?;
    let events = world.audit().since(mark).await?;
    ensure!(about(&events, "later").is_empty(), "{}", lines(&about(&events, "later")));

    fixture.create_namespaces(&["later"]).await?;
    fixture.wait_data("later", "shared", &[("a", "1")], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = world.audit().since(mark).await?;
    let asked = about(&events, "later");
    let creates: Vec<_> = asked.iter().map(|event| event.verb.as_str()).collect();
    ensure!(creates == ["create"], "one create, at once: {}", lines(&asked));
    let of_namespaces = by_operator(&events).filter(|event| event.resource() == "namespaces");
    let written: Vec<_> = of_namespaces.filter(|event| event.is_write()).collect();
    ensure!(written.is_empty(), "{}", lines(&written));
    Ok(())
}
