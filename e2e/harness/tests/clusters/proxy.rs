//! The faults that the fault proxy injects.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use futures::Stream;
use futures::StreamExt as _;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Direction;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::installation;
use harness::replica::Pod;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::PostParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::kubeconfig;
use tokio::time::timeout;

/// A control plane, a proxy, a user that connects as the operator through the proxy, and an
/// administrator that connects directly.
struct Setting {
    proxied: Fixture,
    direct: Fixture,
    proxy: FaultProxy,
    _control_plane: ControlPlane,
}

async fn setting() -> Result<Setting> {
    let control_plane = ControlPlane::start().await?;
    installation::install(&control_plane).await?;
    let proxy = FaultProxy::start(&control_plane)?;
    let pod = Pod::create(&control_plane, "proxied", Some(&proxy.url())).await?;
    let proxied = Fixture::new(kubeconfig::client_that_tries_once(&pod.kubeconfig).await?);
    let direct = Fixture::new(control_plane.client());
    Ok(Setting { proxied, direct, proxy, _control_plane: control_plane })
}

/// Creates a `ConfigMap` with the label of a copy: the operator's account may write no others.
async fn create(proxied: &Fixture, name: &str) -> Result<ConfigMap> {
    let labels = json!({names::LABEL_SYNC_UID: "u"});
    let map = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
    let maps: Api<ConfigMap> = Api::namespaced(proxied.client(), "default");
    Ok(maps.create(&PostParams::default(), &map).await?)
}

fn creates(fault: Fault) -> Rule {
    Rule::new(fault).method(Method::POST).resource("configmaps")
}

#[tokio::test]
async fn faults_apply_to_the_requests_of_their_rules() -> Result<()> {
    let Setting { proxied, direct, proxy, _control_plane } = setting().await?;
    let create = async |name: &str| create(&proxied, name).await;
    let exists = async |name: &str| anyhow::Ok(direct.config_map("default", name).await?.is_some());

    proxy.add(creates(Fault::Cut).nth(1));
    create("first").await?;
    ensure!(create("cut").await.is_err() && !exists("cut").await?);
    create("third").await?;

    proxy.add(creates(Fault::LoseResponse));
    ensure!(create("lost").await.is_err() && exists("lost").await?);
    proxy.add(creates(Fault::TruncateResponse));
    ensure!(create("truncated").await.is_err() && exists("truncated").await?);
    proxy.add(creates(Fault::Respond(CannedResponse::failure(409))));
    let error = format!("{:#}", create("conflict").await.err().context("no 409")?);
    ensure!(error.contains("409") && !exists("conflict").await?, "{error}");
    proxy.add(creates(Fault::Delay(Duration::from_millis(1))));
    create("delayed").await?;

    let hold = Hold::new();
    proxy.add(creates(Fault::HoldBefore(hold.clone())));
    let (created, reached) = tokio::join!(create("held"), async {
        let reached = hold.reached(SOON).await;
        let exists = exists("held").await;
        hold.release();
        reached.and(exists)
    });
    ensure!(!reached?, "the held request reached the API server before its release");
    created?;
    let hold = Hold::new();
    proxy.add(creates(Fault::HoldAfter(hold.clone())));
    let (created, reached) = tokio::join!(create("committed"), async {
        let reached = hold.reached(SOON).await;
        let exists = exists("committed").await;
        hold.cut();
        reached.and(exists)
    });
    ensure!(
        reached? && created.is_err(),
        "the held response: the write must exist, and the client must get an error"
    );

    let seen: Vec<_> = proxy.requests().iter().map(|it| (it.status, it.fault)).collect();
    let wanted = [
        (Some(201), None),
        (None, Some("cut before sending")),
        (Some(201), None),
        (Some(201), Some("response lost")),
        (Some(201), Some("response truncated")),
        (None, Some("response of the proxy")),
        (Some(201), Some("delayed")),
        (Some(201), Some("request held")),
        (Some(201), Some("response held")),
    ];
    ensure!(seen == wanted, "{seen:#?}");
    Ok(())
}

#[tokio::test]
async fn blocked_requests_arrive_after_their_client_gave_up() -> Result<()> {
    let Setting { proxied, direct, proxy, _control_plane } = setting().await?;
    let create = async |name: &str| create(&proxied, name).await;
    let moment = Duration::from_millis(300);
    for (directions, name) in [(&Direction::BOTH[..1], "kept"), (&Direction::BOTH[..], "silent")] {
        // Opens a connection: a new one would need both directions.
        create(&format!("before-{name}")).await?;
        proxy.block(directions);
        let waited = timeout(moment, create(name)).await;
        ensure!(waited.is_err(), "the request for {name} got a response");
        ensure!(
            direct.config_map("default", name).await?.is_none(),
            "the request for {name} reached the API server"
        );
        proxy.unblock();
        direct.wait_data("default", name, &[], SOON).await?;
    }
    create("not-blocked").await?;
    proxy.block(&[Direction::ToReplica]);
    ensure!(timeout(moment, create("unanswered")).await.is_err());
    direct.wait_data("default", "unanswered", &[], SOON).await?;
    proxy.unblock();

    let hold = Hold::new();
    proxy.add(creates(Fault::HoldBefore(hold.clone())));
    let (created, ()) = tokio::join!(create("broken"), async {
        let reached = hold.reached(SOON).await;
        proxy.break_connections();
        drop(reached);
    });
    ensure!(created.is_err() && direct.config_map("default", "broken").await?.is_none());
    create("after").await?;
    Ok(())
}

/// The name of the object of the next watch event.
async fn next(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
) -> Result<String> {
    match timeout(SOON, events.next()).await?.context("the watch has ended")?? {
        WatchEvent::Added(map) | WatchEvent::Deleted(map) => Ok(map.name_any()),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn watches_can_lag_and_be_cut() -> Result<()> {
    let Setting { proxied, direct, proxy, _control_plane } = setting().await?;
    let maps: Api<ConfigMap> = Api::namespaced(proxied.client(), "default");
    let version = direct.create_config_map("default", "start", &[]).await?;
    let version = version.resource_version().unwrap_or_default();
    let mut events = pin!(maps.watch(&WatchParams::default(), &version).await?);

    direct.create_config_map("default", "a", &[]).await?;
    ensure!(next(&mut events).await? == "a");
    proxy.lag("configmaps", 1);
    direct.create_config_map("default", "b", &[]).await?;
    let early = timeout(Duration::from_millis(200), next(&mut events)).await;
    ensure!(early.is_err(), "the newest event is held back");
    direct.create_config_map("default", "c", &[]).await?;
    ensure!(next(&mut events).await? == "b", "only the newest event is held back");
    direct.delete_config_map("default", "c").await?;
    ensure!(next(&mut events).await? == "c");
    proxy.lag("configmaps", 0);
    ensure!(next(&mut events).await? == "c");

    let seen: Vec<_> = proxy.events().into_iter().map(|it| it.change + " " + &it.name).collect();
    ensure!(seen == ["ADDED a", "ADDED b", "ADDED c", "DELETED c"], "{seen:?}");
    proxy.cut_watches("configmaps");
    let cut = timeout(SOON, events.next()).await?;
    ensure!(!matches!(cut, Some(Ok(_))), "{cut:?}");
    Ok(())
}

#[tokio::test]
async fn a_silent_watch_stays_open_until_it_is_cut() -> Result<()> {
    let Setting { proxied, direct, proxy, _control_plane } = setting().await?;
    let maps: Api<ConfigMap> = Api::namespaced(proxied.client(), "default");
    let version = direct.create_config_map("default", "start", &[]).await?;
    let version = version.resource_version().unwrap_or_default();
    // The API server ends the watch after some seconds.
    let parameters = WatchParams::default().timeout(4);
    let mut silent = pin!(maps.watch(&parameters, &version).await?);
    direct.create_config_map("default", "a", &[]).await?;
    ensure!(next(&mut silent).await? == "a");
    proxy.silence_watches("configmaps");
    direct.create_config_map("default", "b", &[]).await?;
    let event = timeout(Duration::from_secs(6), silent.next()).await;
    ensure!(event.is_err(), "{event:?}");
    ensure!(proxy.events().iter().any(|it| it.name == "b"), "the API server has sent the event");

    let mut later = pin!(maps.watch(&WatchParams::default(), &version).await?);
    ensure!(next(&mut later).await? == "a");
    ensure!(next(&mut later).await? == "b");
    proxy.cut_watches("configmaps");
    let cut = timeout(SOON, silent.next()).await?;
    ensure!(!matches!(cut, Some(Ok(_))), "{cut:?}");
    Ok(())
}
