//! A minimal operator with the crate `kube-leader-election` alone, and none of the protections of
//! leader election. Tests run it to show that the oracles detect two writers.
//!
//! It keeps its leadership while its renewals get no response, publishes no leader record, and writes
//! without preconditions. It accepts the flags that [`crate::replica`] passes to the operator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::DeletionPolicy;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::decide::ContentHash;
use configmapsync::decide::Markers;
use configmapsync::election::HolderIdentity;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::SignedDuration;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube_leader_election::LeaseLock;
use kube_leader_election::LeaseLockParams;
use kube_leader_election::LeaseLockResult;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::kubeconfig;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Timeout of one request for the Lease.
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two passes over all `ConfigMapSync`s.
const PAUSE: Duration = Duration::from_millis(50);

/// The flags of the operator that it supports.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Always `run`.
    command: String,
    #[arg(long)]
    pod_name: String,
    #[arg(long)]
    pod_uid: String,
    #[arg(long)]
    kubeconfig: PathBuf,
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    http_address: SocketAddr,
    #[arg(long)]
    log_format: String,
    #[arg(long = "leader-election-lease-duration", value_parser = duration)]
    lease: Duration,
    #[arg(long = "leader-election-renew-deadline", value_parser = duration)]
    deadline: Duration,
    #[arg(long = "leader-election-retry-period", value_parser = duration)]
    retry: Duration,
    #[arg(long, value_parser = duration)]
    sweep_period: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration> {
    Ok(text.parse::<SignedDuration>()?.try_into()?)
}

/// Runs until SIGTERM, then releases the Lease.
///
/// # Errors
/// If another process has taken over the Lease.
pub async fn run(flags: Flags) -> Result<()> {
    let listener = TcpListener::bind(flags.http_address).await?;
    let address = listener.local_addr()?.to_string();
    println!("{}", json!({"message": "serving health and metrics", "address": address}));
    tokio::spawn(serve(listener));
    let client = kubeconfig::client_that_tries_once(&flags.kubeconfig).await?;
    let params = LeaseLockParams {
        holder_id: HolderIdentity::new(&flags.pod_name, &flags.pod_uid, fastrand::u32(..))
            .to_string(),
        lease_name: OPERATOR.to_owned(),
        lease_ttl: flags.lease,
    };
    let lock = LeaseLock::new(client.clone(), &flags.namespace, params);
    let leads = Arc::new(AtomicBool::new(false));
    tokio::spawn(copy_while(Arc::clone(&leads), client));
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        lost = contend(&lock, &leads, flags.retry) => lost,
        _ = stop.recv() => {
            leads.store(false, Ordering::SeqCst);
            let _ = lock.step_down().await;
            Ok(())
        }
    }
}

async fn contend(lock: &LeaseLock, leads: &AtomicBool, retry: Duration) -> Result<()> {
    loop {
        match tokio::time::timeout(LEASE_TIMEOUT, lock.try_acquire_or_renew()).await {
            Ok(Ok(LeaseLockResult::Acquired(_))) => leads.store(true, Ordering::SeqCst),
            Ok(Ok(LeaseLockResult::NotAcquired(_))) => {
                anyhow::ensure!(
                    !leads.load(Ordering::SeqCst),
                    "another process has taken over the Lease"
                );
            }
            _ => {}
        }
        tokio::time::sleep(retry).await;
    }
}

async fn copy_while(leads: Arc<AtomicBool>, client: Client) {
    loop {
        if leads.load(Ordering::SeqCst) {
            // Failures are retried with the next pass.
            let _ = copy_all(&client).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn copy_all(client: &Client) -> Result<()> {
    for sync in Api::<ConfigMapSync>::all(client.clone()).list(&ListParams::default()).await? {
        let _ = copy(client, &sync).await;
    }
    Ok(())
}

async fn copy(client: &Client, sync: &ConfigMapSync) -> Result<()> {
    let spec = &sync.spec;
    let maps = |namespace: &str| Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let source = NamespacedName::new(&spec.source_namespace, &spec.config_map_name);
    let namespace = spec
        .destination_namespace
        .as_deref()
        .context("the ConfigMapSync has no destinationNamespace")?;
    let at = NamespacedName::new(namespace, &spec.config_map_name);
    let data = maps(&source.namespace).get(&source.name).await?.data;
    let named = NamespacedName::new(sync.namespace().unwrap_or_default(), sync.name_any());
    let uid = sync.uid().unwrap_or_default();
    let hash = ContentHash::from_text("v1:0");
    let markers = Markers::desired(&uid, &named, &at, &source, &hash, DeletionPolicy::Delete);
    let metadata = ObjectMeta {
        name: Some(at.name.clone()),
        labels: Some(markers.labels()),
        annotations: Some(markers.annotations()),
        ..ObjectMeta::default()
    };
    let copy = ConfigMap { metadata, data, ..ConfigMap::default() };
    match maps(&at.namespace).get_opt(&at.name).await? {
        None => drop(maps(&at.namespace).create(&PostParams::default(), &copy).await?),
        Some(existing) if existing.data != copy.data => {
            let data = Patch::Merge(json!({"data": copy.data}));
            maps(&at.namespace).patch(&at.name, &PatchParams::default(), &data).await?;
        }
        Some(_) => {}
    }
    report(client, sync, &named).await
}

/// Sets the condition Ready to True, unless there is a status already.
async fn report(client: &Client, sync: &ConfigMapSync, named: &NamespacedName) -> Result<()> {
    if sync.status.is_none() {
        let ready = json!({
            "type": "Ready",
            "status": "True",
            "reason": "Synced",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let generation = sync.metadata.generation;
        let status = json!({"observedGeneration": generation, "conditions": [ready]});
        let patch = Patch::Merge(json!({"status": status}));
        let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), &named.namespace);
        syncs.patch_status(&named.name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// Responds to every request with 200: always ready.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(response).await;
    }
}
