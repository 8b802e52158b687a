//! Live reads of `ConfigMaps`, recorded in the cache.
//!
//! # Guarantees
//! A source is read once per version, even if several syncs share it: concurrent callers wait for one
//! read, and later callers share its content as long as a caller keeps it. The reader itself keeps no
//! content. A caller that waits for its turn is polled regularly, which shows that it makes progress.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::AcquireError;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tracing::Span;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::config_maps::CachedConfigMap;
use crate::cache::store::Cache;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::observed::Version;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::watches::ticking;
use crate::telemetry::spans;
use crate::telemetry::spans::SpanReference;

/// The result of a live read of a `ConfigMap`.
#[derive(Clone, Debug)]
pub struct LiveConfigMap {
    /// The version of the content. The cache can contain a later version.
    pub version: Version,
    /// The content.
    pub content: Arc<Content>,
    /// The digest of the content.
    pub digest: Digest,
}

/// The last read of one `ConfigMap`, for callers that need the same version.
#[derive(Debug)]
struct SharedRead {
    version: Version,
    digest: Digest,
    /// Dropped when no caller keeps it.
    content: Weak<Content>,
    /// The span that read it.
    reader: SpanReference,
}

/// The slot of one `ConfigMap`; locked during a read.
type Slot = Arc<tokio::sync::Mutex<Option<SharedRead>>>;

/// The maximum number of concurrent reads. Each needs a connection, and memory for a `ConfigMap`.
const CONCURRENT_READS: usize = 32;

/// Reads `ConfigMaps` from the API server.
pub struct Reader {
    client: Client,
    cache: Arc<Cache>,
    shared: Mutex<HashMap<NamespacedName, Slot>>,
    permits: Semaphore,
}

// === impl Reader ===

impl Reader {
    /// A reader that records what it reads in `cache`.
    #[must_use]
    pub fn new(client: Client, cache: Arc<Cache>) -> Self {
        let permits = Semaphore::new(CONCURRENT_READS);
        Self { client, cache, shared: Mutex::default(), permits }
    }

    /// Reads the `ConfigMap` at `at`; `None` if it does not exist.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond.
    pub async fn read(&self, at: &NamespacedName) -> Result<Option<LiveConfigMap>, ApiFailure> {
        // The semaphore is never closed, so a permit is always granted.
        let _permit = self.permit().await;
        let pending = self.cache.begin_read(at);
        let read = self.api(at).get(&at.name).await;
        let config_map = match unless_missing::<ConfigMap, _>(&at.name, read) {
            Ok(Some(config_map)) => config_map,
            Ok(None) => {
                pending.not_found();
                return Ok(None);
            }
            Err(error) => return Err(ApiFailure::of(&format!("read ConfigMap {at}"), &error)),
        };
        pending.found(&config_map.metadata);
        let version = Version::of(&config_map.metadata);
        let content = Arc::new(Content::of(config_map));
        let digest = content.digest();
        self.cache.record_content(at, &version, digest.clone());
        Ok(Some(LiveConfigMap { version, content, digest }))
    }

    /// Like [`Reader::read`], but sends no request if the version in the cache was read before and a
    /// caller still keeps its content.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond.
    pub async fn read_shared(
        &self,
        at: &NamespacedName,
    ) -> Result<Option<LiveConfigMap>, ApiFailure> {
        let slot = self.slot(at);
        let span =
            || tracing::info_span!("wait for the read of another reconcile", config_map = %at);
        let mut shared = spans::waiting(span, ticking(slot.lock(), || ())).await;
        if let CachedConfigMap::Present(entry) = self.cache.config_map(at)
            && let Some(SharedRead { version, digest, content, reader }) = &*shared
            && *version == entry.version
            && let Some(content) = content.upgrade()
        {
            reader.link_from(&Span::current());
            let digest = digest.clone();
            return Ok(Some(LiveConfigMap { version: entry.version, content, digest }));
        }
        let read = self.read(at).await?;
        *shared = read.as_ref().map(|LiveConfigMap { version, content, digest }| SharedRead {
            version: version.clone(),
            digest: digest.clone(),
            content: Arc::downgrade(content),
            reader: SpanReference::current(),
        });
        Ok(read)
    }

    /// Reads the metadata of the `ConfigMap` at `at` into the cache. Returns its version; `None` if
    /// it does not exist.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond.
    pub async fn refresh(&self, at: &NamespacedName) -> Result<Option<Version>, ApiFailure> {
        let _permit = self.permit().await;
        let pending = self.cache.begin_read(at);
        let read = self.api(at).get_metadata(&at.name).await;
        match unless_missing::<ConfigMap, _>(&at.name, read) {
            Ok(Some(found)) => {
                pending.found(&found.metadata);
                Ok(Some(Version::of(&found.metadata)))
            }
            Ok(None) => {
                pending.not_found();
                Ok(None)
            }
            Err(error) => {
                let attempt = format!("read the metadata of ConfigMap {at}");
                Err(ApiFailure::of(&attempt, &error))
            }
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        let span = || tracing::info_span!("wait for a read permit");
        spans::waiting(span, ticking(self.permits.acquire(), || ())).await
    }

    fn api(&self, at: &NamespacedName) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &at.namespace)
    }

    /// The slot of `at`. Slots without a waiting caller and without content in use are dropped.
    fn slot(&self, at: &NamespacedName) -> Slot {
        let mut shared = self.shared.lock();
        let is_held = |read: &SharedRead| read.content.strong_count() > 0;
        let is_in_use = |slot: &Slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|shared| shared.as_ref().is_some_and(is_held))
        };
        shared.retain(|_, slot| is_in_use(slot));
        Arc::clone(shared.entry(at.clone()).or_default())
    }
}

/// The permissions for live reads of sources and copies.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["get"])]
}
