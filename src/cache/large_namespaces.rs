//! Reads of namespaces whose labels are too large for the cache: only the API server knows whether a
//! selector matches them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::core::Selector;
use kube::core::SelectorExt as _;
use tokio::sync::Mutex;

use crate::api::metadata::MetadataOnly;
use crate::cache::namespaces::Selected;
use crate::cache::store::Cache;
use crate::cache::stored_namespace::NamespaceLabels;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::named;
use crate::kubernetes::error::unnamed;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::first_object;
use crate::kubernetes::watches::ticking;
use crate::telemetry::spans;

/// Reads such namespaces, one at a time, into the cache.
pub(super) struct LargeNamespaces {
    client: Client,
    cache: Arc<Cache>,
    turn: Mutex<()>,
}

// === impl LargeNamespaces ===

impl LargeNamespaces {
    pub(super) fn new(client: Client, cache: Arc<Cache>) -> Self {
        Self { client, cache, turn: Mutex::default() }
    }

    /// The namespaces that `selector` selects.
    pub(super) async fn select(&self, selector: &Selector) -> Result<BTreeSet<String>, ApiFailure> {
        let Selected { mut names, undecided } = self.cache.select(selector);
        for namespace in undecided {
            if self.selects(selector, &namespace).await? {
                names.insert(namespace);
            }
        }
        Ok(names)
    }

    /// Whether `selector` selects `namespace`.
    async fn selects(&self, selector: &Selector, namespace: &str) -> Result<bool, ApiFailure> {
        let span = || tracing::info_span!("wait for reads of large namespaces", namespace);
        let _turn = spans::waiting(span, ticking(self.turn.lock(), || ())).await;
        // Another reconcile may have read it meanwhile.
        if let Some(is_selected) = self.cache.is_selected(selector, namespace) {
            return Ok(is_selected);
        }
        // A list needs no other permission than the watch.
        let list = List::metadata::<Namespace>(None).named(namespace);
        let read = first_object::<MetadataOnly>(&self.client, &list).await;
        let read = named(namespace, read.and_then(|found| found.ok_or_else(unnamed)));
        let metadata = read
            .map_err(|error| ApiFailure::of(&format!("read namespace {namespace}"), &error))?
            .metadata;
        let labels = metadata.labels.unwrap_or_default();
        let is_match = selector.matches(&labels);
        let (uid, labels) = (metadata.uid.as_deref(), NamespaceLabels::of(&labels));
        self.cache.record_match(selector, namespace, uid, &labels, is_match);
        Ok(is_match)
    }
}
