//! SIGTERM cancels the reads of a leader: it releases the Lease and exits at once.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;

/// A reconcile reads eight of them at a time.
const COPIES: usize = 48;
/// With this delay of each read, all of them take half a minute.
const DELAY: Duration = Duration::from_secs(4);
/// Half as long as the reads would go on: a leader gives its reconciles 20 seconds to end.
const EXITED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sigterm_cancels_reads_and_releases_the_lease() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    let namespaces: Vec<_> = (0..COPIES).map(|index| format!("team-{index}")).collect();
    for name in &namespaces {
        fixture.create_labelled_namespace(name, &[("team", "a")]).await?;
    }
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "all", to_selected(with_labels(&[("team", "a")]))).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let options = Options {
        server: Some(proxy.url()),
        arguments: vec!["--resync-period=10s".to_owned()],
        ..Options::default()
    };
    let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    let namespaces: Vec<_> = namespaces.iter().map(String::as_str).collect();
    wait_copies_in(&fixture, "all", &namespaces, SOON).await?;

    let delayed = Rule::new(Fault::Delay(DELAY)).method(Method::GET);
    proxy.add(delayed.when(|request| request.path.ends_with("/configmaps/shared")).always());
    until("the copies are verified", SOON, || async {
        let requests = proxy.requests();
        let is_delayed =
            |name: &&str| requests.iter().any(|it| it.fault.is_some() && it.namespace() == *name);
        let reads = namespaces.iter().filter(|name| is_delayed(name)).count();
        Ok(Seen::from_bool(reads > 0, || "no copy is read".to_owned()))
    })
    .await?;
    let began = Instant::now();
    replica.process().terminate()?;
    let status = replica.process().wait_exit(SOON).await?;
    let took = began.elapsed();
    ensure!(status.success(), "the leader exited with {status}:\n{}", replica.process().tail(10));
    ensure!(took < EXITED, "the leader exited {took:?} after SIGTERM");
    let leases = Api::<Lease>::namespaced(cluster.control_plane.client(), OPERATOR);
    let holder = leases.get(OPERATOR).await?.spec.and_then(|spec| spec.holder_identity);
    ensure!(holder.as_deref() == Some(""), "the Lease is held by {holder:?}");
    Ok(())
}
