//! Reads of live `ConfigMaps`. What is seen is noted in the cache at once.
//!
//! A source is read once per version, however many syncs it has: whoever asks while another reads
//! waits for that answer, and gets the same content for as long as anybody still holds it. Nothing
//! is held here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::Client;
use tokio::sync::Semaphore;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::observed::Version;
use crate::kubernetes::error::ApiFailure;

/// What was read of a `ConfigMap`.
#[derive(Clone, Debug)]
pub struct LiveConfigMap {
    /// The version that this is the content of; the cache may know a later one by now.
    pub version: Version,
    /// Its content.
    pub content: Arc<Content>,
    /// What is kept of its content.
    pub digest: Digest,
}

/// A content that somebody may still hold, and the version that it was read at.
type Shared = Option<(Version, Digest, Weak<Content>)>;

/// How many reads are in flight at a time. Each holds a whole `ConfigMap` and a connection.
const CONCURRENT_READS: usize = 32;

/// Reads whole `ConfigMaps`.
pub struct Reader {
    client: Client,
    cache: Arc<Cache>,
    shared: Mutex<HashMap<NamespacedName, Arc<tokio::sync::Mutex<Shared>>>>,
    permits: Semaphore,
}

// === impl Reader ===

impl Reader {
    /// A reader that notes what it sees in `cache`.
    #[must_use]
    pub fn new(client: Client, cache: Arc<Cache>) -> Self {
        let permits = Semaphore::new(CONCURRENT_READS);
        Self { client, cache, shared: Mutex::default(), permits }
    }

    /// Reads the `ConfigMap` at `at`; `None` if there is none.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn read(&self, at: &NamespacedName) -> Result<Option<LiveConfigMap>, ApiFailure> {
        // Never closed, so a permit always comes.
        let _permit = self.permits.acquire().await;
        let pending = self.cache.begin_read(at);
        let config_map = match self.api(at).get_opt(&at.name).await {
            Ok(Some(config_map)) => config_map,
            Ok(None) => {
                pending.found_nothing();
                return Ok(None);
            }
            Err(error) => return Err(ApiFailure::of_read(&format!("read ConfigMap {at}"), &error)),
        };
        pending.found(&config_map.metadata);
        let version = Version {
            uid: config_map.metadata.uid.clone().unwrap_or_default(),
            resource_version: config_map.metadata.resource_version.clone().unwrap_or_default(),
        };
        let content = Arc::new(Content::of(config_map));
        let digest = content.digest();
        self.cache.record_content(at, &version, digest.clone());
        Ok(Some(LiveConfigMap { version, content, digest }))
    }

    /// As [`Reader::read`], unless the version that the cache knows was read before and
    /// somebody still holds its content.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn read_shared(
        &self,
        at: &NamespacedName,
    ) -> Result<Option<LiveConfigMap>, ApiFailure> {
        let slot = self.slot(at);
        let mut shared = slot.lock().await;
        if let CachedConfigMap::Present(entry) = self.cache.config_map(at)
            && let Some((version, digest, content)) = &*shared
            && *version == entry.version
            && let Some(content) = content.upgrade()
        {
            return Ok(Some(LiveConfigMap {
                version: entry.version,
                content,
                digest: digest.clone(),
            }));
        }
        let read = self.read(at).await?;
        *shared = read.as_ref().map(|LiveConfigMap { version, content, digest }| {
            (version.clone(), digest.clone(), Arc::downgrade(content))
        });
        Ok(read)
    }

    /// Reads the metadata of the `ConfigMap` at `at`.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn refresh(&self, at: &NamespacedName) -> Result<(), ApiFailure> {
        let _permit = self.permits.acquire().await;
        let pending = self.cache.begin_read(at);
        match self.api(at).get_metadata_opt(&at.name).await {
            Ok(Some(found)) => pending.found(&found.metadata),
            Ok(None) => pending.found_nothing(),
            Err(error) => {
                return Err(ApiFailure::of_read(
                    &format!("read the metadata of ConfigMap {at}"),
                    &error,
                ));
            }
        }
        Ok(())
    }

    fn api(&self, at: &NamespacedName) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &at.namespace)
    }

    /// The slot of `at`. Slots that nobody waits for and whose content nobody holds are dropped.
    fn slot(&self, at: &NamespacedName) -> Arc<tokio::sync::Mutex<Shared>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = |slot: &Arc<tokio::sync::Mutex<Shared>>| {
            let held = |shared: &Shared| {
                shared.as_ref().is_some_and(|(.., content)| content.strong_count() > 0)
            };
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|shared| held(&shared))
        };
        shared.retain(|_, slot| in_use(slot));
        Arc::clone(shared.entry(at.clone()).or_default())
    }
}

/// What reading needs: reads of the sources and copies that metadata cannot tell about.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["get"])]
}
