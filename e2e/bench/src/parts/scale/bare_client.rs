//! A bare client: it requests the lists that a starting operator requests, and keeps nothing.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::kubernetes::lists::List;
use harness::replica::Pod;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use serde::de::IgnoredAny;
use testbed::kubeconfig;

use crate::bench_cluster::BenchCluster;

/// How long the lists take that a starting operator requests, with the permissions of the operator.
/// `name` is that of a new pod.
pub(super) async fn listing_time(cluster: &BenchCluster, name: &str) -> Result<Duration> {
    let pod = Pod::create(&cluster.control_plane, name, None).await?;
    let client = kubeconfig::client_that_tries_once(&pod.kubeconfig).await?;
    let start = Instant::now();
    // Like the operator: the list of ConfigMaps follows that of ConfigMapSyncs.
    let config_maps = async {
        read(&client, &List::objects::<ConfigMapSync>(None)).await?;
        read(&client, &List::metadata::<ConfigMap>(None)).await
    };
    let namespaces = List::metadata::<Namespace>(None);
    tokio::try_join!(config_maps, read(&client, &namespaces))?;
    Ok(start.elapsed())
}

async fn read(client: &Client, list: &List) -> Result<()> {
    let mut token = None;
    loop {
        let mut page = list.page::<IgnoredAny>(client, token).await?;
        while page.next().await?.is_some() {}
        token = page.end()?.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(());
        }
    }
}
