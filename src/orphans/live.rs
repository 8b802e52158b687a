//! Live reads before an orphan is collected: what cannot be verified is not deleted.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::Client;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OwnerState;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::is_object_missing;
use crate::kubernetes::error::kind_not_installed;
use crate::kubernetes::error::named;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::reads;
use crate::names;
use crate::orphans::candidates::Owners;

/// How many reads are in flight at a time.
const CONCURRENT_READS: usize = 8;

/// The kind `ConfigMapSync` is not available, so no sync can be proven dead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Its definition does not exist.
    #[error("{}", kind_not_installed("ConfigMapSync"))]
    Missing,
    /// Its definition is not established, or is being deleted.
    #[error(
        "CustomResourceDefinition {} is not established, or is being deleted: see its status",
        names::CUSTOM_RESOURCE_DEFINITION
    )]
    NotEstablished,
    /// Its definition could not be read.
    #[error(transparent)]
    Read(ApiFailure),
}

/// Checks that the kind `ConfigMapSync` is served and not being deleted. While it is not, a 404
/// does not prove that a sync is dead.
pub async fn ensure_established(client: &Client) -> Result<(), DefinitionError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    let attempt = format!("read CustomResourceDefinition {name}");
    let failed = |error| DefinitionError::Read(ApiFailure::of(&attempt, &error));
    let read = unless_missing::<CustomResourceDefinition, _>(name, api.get(name).await);
    let definition = read.map_err(failed)?.ok_or(DefinitionError::Missing)?;
    let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
    let is_established =
        conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
    if is_established && definition.metadata.deletion_timestamp.is_none() {
        Ok(())
    } else {
        Err(DefinitionError::NotEstablished)
    }
}

/// Reads the syncs that the markers of `candidates` name, each once.
pub async fn read_owners(
    client: &Client,
    cache: &Cache,
    candidates: impl Iterator<Item = &OrphanCandidate>,
) -> Owners {
    let syncs: BTreeSet<(NamespacedName, String)> = candidates
        .filter_map(|it| {
            Some((it.markers.sync.as_ref()?.parse().ok()?, it.markers.sync_uid.clone()))
        })
        .collect();
    let reads: Vec<_> = syncs
        .into_iter()
        .map(async |(sync, uid)| {
            let owner = read_owner(client, cache, &sync, &uid).await;
            ((sync, uid), owner)
        })
        .collect();
    stream::iter(reads).buffer_unordered(CONCURRENT_READS).collect().await
}

async fn read_owner(
    client: &Client,
    cache: &Cache,
    sync: &NamespacedName,
    uid: &str,
) -> OwnerState {
    match named(&sync.name, reads::sync_metadata(client, sync).await) {
        Ok(found) => match found.metadata.uid {
            Some(found) if found == uid => OwnerState::Exists,
            // The cache must have the new sync first: it may desire this very copy.
            Some(found) if cache.sync_with_uid(&found).as_ref() == Some(sync) => {
                OwnerState::Replaced
            }
            _ => OwnerState::Unknown(format!("ConfigMapSync {sync} was recreated a moment ago")),
        },
        Err(error) if is_object_missing::<ConfigMapSync>(&error, &sync.name) => OwnerState::Deleted,
        Err(error) => {
            let failed = ApiFailure::of(&format!("read ConfigMapSync {sync}"), &error);
            OwnerState::Unknown(failed.failure.message)
        }
    }
}

/// Reads the metadata of each candidate into the cache, so that the decision rests on its latest
/// version. Returns the reads that failed.
pub async fn refresh_candidates<'a>(
    reader: &Reader,
    candidates: &'a BTreeMap<NamespacedName, OrphanCandidate>,
) -> Vec<(&'a NamespacedName, ApiFailure)> {
    let read = async |at| (at, reader.refresh(at).await.err());
    let (mut reads, mut failed) = (FuturesUnordered::new(), Vec::new());
    // Not all at once: each takes some KiB.
    for at in candidates.keys() {
        if reads.len() >= CONCURRENT_READS {
            failed.extend(reads.next().await);
        }
        reads.push(read(at));
    }
    failed.extend(reads.collect::<Vec<_>>().await);
    failed.into_iter().filter_map(|(at, failed)| Some((at, failed?))).collect()
}

/// Permissions for reading copies, their syncs, and the definition of the kind.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let definition = PolicyRule {
        resource_names: Some(vec![names::CUSTOM_RESOURCE_DEFINITION.to_owned()]),
        ..rule("apiextensions.k8s.io", "customresourcedefinitions", &["get"])
    };
    vec![
        rule("", "configmaps", &["get"]),
        rule(names::GROUP, "configmapsyncs", &["get"]),
        definition,
    ]
}
