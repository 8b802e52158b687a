//! Live looks before a sweep: missing knowledge deletes nothing.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::Client;
use kube::Resource as _;
use kube::core::Status;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OwnerState;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::KIND_IS_MISSING;
use crate::names;
use crate::orphans::candidates::Owners;

/// How many looks are under way at a time.
const CONCURRENT_LOOKS: usize = 8;

/// Makes sure that the kind is there to stay: while it is not, no sync can be told dead.
///
/// # Errors
/// It is not, or nobody knows: a sentence that says so.
pub async fn ensure_established(client: &Client) -> Result<(), String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = names::CUSTOM_RESOURCE_DEFINITION;
    let definition = match api.get_opt(name).await {
        Ok(Some(definition)) => definition,
        Ok(None) => return Err(KIND_IS_MISSING.to_owned()),
        Err(error) => {
            return Err(explain(&format!("read CustomResourceDefinition {name}"), &error));
        }
    };
    let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
    let is_established =
        conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
    if is_established && definition.metadata.deletion_timestamp.is_none() {
        Ok(())
    } else {
        Err(format!("CustomResourceDefinition {name} is not established, or is being deleted"))
    }
}

/// Looks at the syncs that the markers of `candidates` name.
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
    let looks: Vec<_> = syncs
        .into_iter()
        .map(async |(sync, uid)| {
            let owner = read_owner(client, cache, &sync, &uid).await;
            ((sync, uid), owner)
        })
        .collect();
    stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).collect().await
}

async fn read_owner(
    client: &Client,
    cache: &Cache,
    sync: &NamespacedName,
    uid: &str,
) -> OwnerState {
    let api: Api<ConfigMapSync> = Api::namespaced(client.clone(), &sync.namespace);
    match api.get_metadata(&sync.name).await {
        Ok(found) => match found.metadata.uid {
            Some(found) if found == uid => OwnerState::Exists,
            // What it wants has to be known first: it may be this very copy.
            Some(found) if cache.sync_with_uid(&found).as_ref() == Some(sync) => {
                OwnerState::Replaced
            }
            _ => OwnerState::Unknown(format!("ConfigMapSync {sync} was replaced a moment ago")),
        },
        Err(kube::Error::Api(status)) if says_gone(&status, sync) => OwnerState::Deleted,
        Err(error) => OwnerState::Unknown(explain(&format!("read ConfigMapSync {sync}"), &error)),
    }
}

/// A 404 means the sync only if it says so: a kind that is not served, and a proxy that has lost
/// its way, answer 404 too.
fn says_gone(status: &Status, sync: &NamespacedName) -> bool {
    status.code == 404
        && status.reason == "NotFound"
        && status.details.as_ref().is_some_and(|details| {
            details.group == names::GROUP
                && details.kind == ConfigMapSync::plural(&())
                && details.name == sync.name
        })
}

/// Reads the metadata of each candidate into the cache, so that the decision rests on the latest
/// version. Returns the reads that failed.
pub async fn refresh_candidates<'a>(
    reader: &Reader,
    due: &'a BTreeMap<NamespacedName, OrphanCandidate>,
) -> Vec<(&'a NamespacedName, ApiFailure)> {
    let reads: Vec<_> = due
        .keys()
        .map(async |at| reader.refresh(at).await.err().map(|refusal| (at, refusal)))
        .collect();
    let reads = stream::iter(reads).buffer_unordered(CONCURRENT_LOOKS);
    reads.filter_map(async |failed| failed).collect().await
}

fn explain(attempt: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            format!("cannot {attempt}: HTTP 404, but not for the object")
        }
        error => ApiFailure::of_read(attempt, error).failure.message,
    }
}

/// What the sweep needs: live looks at copies, at their syncs, and at the kind.
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

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn not_found(kind: &str, name: &str) -> Status {
        let details = StatusDetails {
            name: name.into(),
            group: names::GROUP.into(),
            kind: kind.into(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        Status { code: 404, details: Some(details), ..Status::failure("gone", "NotFound") }
    }

    #[test]
    fn a_404_counts_only_if_it_names_kind_and_object() {
        let sync = NamespacedName::new("team", "sync");
        assert!(says_gone(&not_found("configmapsyncs", "sync"), &sync));
        assert!(!says_gone(&not_found("configmapsyncs", "other"), &sync));
        assert!(!says_gone(&not_found("namespaces", "sync"), &sync));
        assert!(!says_gone(&not_found("", ""), &sync), "the kind is not served");
        let bare = Status { details: None, ..not_found("configmapsyncs", "sync") };
        assert!(!says_gone(&bare, &sync));
        let other = Status { code: 410, ..not_found("configmapsyncs", "sync") };
        assert!(!says_gone(&other, &sync));
    }
}
