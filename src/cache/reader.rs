//! Live reads of `ConfigMaps`, recorded in the cache.
//!
//! # Guarantees
//! A source is read once per version, even if several syncs share it: concurrent callers wait for one
//! read, and later callers share its content as long as a caller keeps it. The reader itself keeps no
//! content. A caller that waits for its turn is polled regularly, which shows that it makes progress.
//!
//! A read of a source waits for no read of anything else, and at most a second for another one of the
//! same source: then it is sent once more, and the callers that wait share that one.
//!
//! The contents that callers keep have a fixed amount of memory, shared among the namespaces of sources,
//! and so have large syncs. A source whose content is not small is
//! read again once there is room for it; until then, it is neither received nor kept. A content that is
//! only compared is not kept at all.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube::core::Selector;
use parking_lot::Mutex;
use tokio::sync::AcquireError;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tracing::Span;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::config_maps::CachedConfigMap;
use crate::cache::large_namespaces::LargeNamespaces;
use crate::cache::shared_reads::SharedRead;
use crate::cache::shared_reads::SharedReads;
use crate::cache::store::Cache;
use crate::cache::store::PendingRead;
use crate::cache::syncs::KnownSync;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::content::Memory;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::memory::MemoryBudget;
use crate::kubernetes::memory::Reservation;
use crate::kubernetes::reads;
use crate::kubernetes::reads::StoredConfigMap;
use crate::kubernetes::watches::ticking;
use crate::names;
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

/// A `ConfigMap` at one version.
struct Found {
    version: Version,
    content: Content,
    digest: Digest,
}

/// The result of a read of a source.
enum Fetched {
    Found(Found),
    Missing,
    /// Its content takes more memory than was reserved: about this many bytes.
    TooLarge(usize),
}

/// The memory of a content that needs no reservation.
const SMALL_CONTENT: usize = 128 * 1024;
/// What is reserved for a large content while its size is unknown: more than almost any takes.
const FIRST_RESERVATION: usize = 2 * 1024 * 1024;
/// The memory of all contents that are kept, without the small ones.
const CONTENTS_KIB: u32 = 12 * 1024;
/// The memory of the reconciles of all large syncs, without contents.
const LARGE_SYNCS_KIB: u32 = 12 * 1024;
/// What such a reconcile takes for each byte of its sync: many writes in flight can each repeat parts of it.
const SYNC_FACTOR: usize = 32;
/// How many sources are remembered as large.
const MAX_KNOWN_LARGE: usize = 1_000;

/// The maximum number of concurrent reads. Each needs a connection, and memory for a `ConfigMap`. Sources
/// are read without: one at a time per running reconcile.
const CONCURRENT_READS: usize = 32;

/// Reads `ConfigMaps` from the API server.
pub struct Reader {
    client: Client,
    cache: Arc<Cache>,
    shared: SharedReads,
    permits: Semaphore,
    contents: MemoryBudget,
    large_syncs: MemoryBudget,
    large_namespaces: LargeNamespaces,
    /// The sources whose content was large when it was last read.
    known_large: Mutex<HashSet<NamespacedName>>,
}

// === impl Reader ===

impl Reader {
    /// A reader that records what it reads in `cache`.
    #[must_use]
    pub fn new(client: Client, cache: Arc<Cache>) -> Self {
        let permits = Semaphore::new(CONCURRENT_READS);
        let contents = MemoryBudget::new(CONTENTS_KIB);
        let large_syncs = MemoryBudget::new(LARGE_SYNCS_KIB);
        let (shared, known_large) = (SharedReads::default(), Mutex::default());
        let large_namespaces = LargeNamespaces::new(client.clone(), Arc::clone(&cache));
        Self {
            client,
            cache,
            shared,
            permits,
            contents,
            large_syncs,
            large_namespaces,
            known_large,
        }
    }

    /// The sync `name`, and memory that is reserved until its reconcile ends: one that is too large for
    /// the cache is read. `None` if it does not exist, or is another one than the cache knows.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond; or there is no memory for the sync.
    pub async fn sync(
        &self,
        name: &NamespacedName,
    ) -> Result<Option<(ObservedSync, Option<Reservation>)>, ApiFailure> {
        let (uid, mut bytes) = match self.cache.sync(name) {
            None => return Ok(None),
            Some(KnownSync::Whole(sync)) => return Ok(Some((*sync, None))),
            Some(KnownSync::Large { uid, bytes }) => (uid, bytes),
        };
        loop {
            let reserved = self.reserve_for_sync(name, bytes * SYNC_FACTOR).await?;
            let sync = self.read_sync(name).await?.filter(|sync| sync.version.uid == uid);
            let Some(sync) = sync else { return Ok(None) };
            // It may have grown since the cache observed it.
            bytes = serde_json::to_vec(&sync).map_or(0, |json| json.len());
            if reserved.covers(bytes * SYNC_FACTOR) {
                return Ok(Some((sync, Some(reserved))));
            }
        }
    }

    async fn reserve_for_sync(
        &self,
        name: &NamespacedName,
        bytes: usize,
    ) -> Result<Reservation, ApiFailure> {
        let span =
            || tracing::info_span!("wait for memory for a large ConfigMapSync", sync = %name);
        let reserve = self.large_syncs.reserve(&name.namespace, bytes);
        let reserved = spans::waiting(span, ticking(reserve, || ())).await;
        reserved.map_err(|error| {
            ApiFailure::transient(format!("cannot read ConfigMapSync {name}: {error}"))
        })
    }

    async fn read_sync(&self, name: &NamespacedName) -> Result<Option<ObservedSync>, ApiFailure> {
        let _permit = self.permit().await;
        let read = reads::sync(&self.client, name).await;
        let read = unless_missing::<ConfigMapSync, _>(&name.name, read)
            .map_err(|error| ApiFailure::of(&format!("read ConfigMapSync {name}"), &error))?;
        Ok(read.and_then(|read| ObservedSync::of(&read)))
    }

    /// The namespaces that `selector` selects. Those with labels that are not kept are read, once per
    /// selector and change of the labels.
    ///
    /// # Errors
    /// The API server rejects a read, does not respond, or does not find the namespace: it is not known
    /// which namespaces are selected.
    pub async fn select(&self, selector: &Selector) -> Result<BTreeSet<String>, ApiFailure> {
        self.large_namespaces.select(selector).await
    }

    /// Reads the `ConfigMap` at `at` into the cache, with the digest of its content.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond.
    pub async fn compare(&self, at: &NamespacedName) -> Result<(), ApiFailure> {
        // The semaphore is never closed, so a permit is always granted.
        let _permit = self.permit().await;
        let pending = self.cache.begin_read(at);
        let read = reads::config_map(&self.client, at).await;
        self.found(at, read, pending).map(drop)
    }

    /// Reads the `ConfigMap` at `at`; `None` if it does not exist.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond; or there is no memory for the content.
    pub async fn read(&self, at: &NamespacedName) -> Result<Option<LiveConfigMap>, ApiFailure> {
        let mut needed = self.known_large.lock().contains(at).then_some(FIRST_RESERVATION);
        loop {
            let reserved = match needed {
                Some(bytes) => Some(self.reserve(at, bytes).await?),
                None => None,
            };
            match self.fetch(at, reserved.as_ref()).await? {
                Fetched::Missing => return Ok(None),
                Fetched::TooLarge(bytes) => {
                    self.mark_large(at);
                    needed = Some(bytes);
                }
                Fetched::Found(found) => {
                    return Ok(Some(LiveConfigMap {
                        version: found.version,
                        content: Arc::new(self.kept(at, found.content, reserved)),
                        digest: found.digest,
                    }));
                }
            }
        }
    }

    /// Waits for memory, while no memory is held for this read.
    async fn reserve(&self, at: &NamespacedName, bytes: usize) -> Result<Reservation, ApiFailure> {
        let span = || tracing::info_span!("wait for memory for a large source", config_map = %at);
        let reserve = self.contents.reserve(&at.namespace, bytes);
        let reserved = spans::waiting(span, ticking(reserve, || ())).await;
        reserved
            .map_err(|error| ApiFailure::transient(format!("cannot read ConfigMap {at}: {error}")))
    }

    /// Reads a source whose content may take the memory that is `reserved`.
    async fn fetch(
        &self,
        at: &NamespacedName,
        reserved: Option<&Reservation>,
    ) -> Result<Fetched, ApiFailure> {
        let pending = self.cache.begin_read(at);
        let read = match reserved {
            Some(_) => reads::config_map(&self.client, at).await,
            None => match reads::small_config_map(&self.client, at).await {
                Ok(Some(small)) => Ok(small),
                Ok(None) => return Ok(Fetched::TooLarge(FIRST_RESERVATION)),
                Err(error) => Err(error),
            },
        };
        let Some(found) = self.found(at, read, pending)? else { return Ok(Fetched::Missing) };
        let size = found.content.size_in_memory();
        let fits = reserved.map_or(size <= SMALL_CONTENT, |reserved| reserved.covers(size));
        Ok(if fits { Fetched::Found(found) } else { Fetched::TooLarge(size) })
    }

    /// Records the result of a read; `None` if the `ConfigMap` does not exist.
    fn found(
        &self,
        at: &NamespacedName,
        read: kube::Result<StoredConfigMap>,
        pending: PendingRead<'_>,
    ) -> Result<Option<Found>, ApiFailure> {
        let config_map = match unless_missing::<ConfigMap, _>(&at.name, read) {
            Ok(Some(config_map)) => config_map,
            Ok(None) => {
                pending.not_found();
                return Ok(None);
            }
            Err(error) => return Err(ApiFailure::of(&format!("read ConfigMap {at}"), &error)),
        };
        let (metadata, content) = config_map.into_parts();
        pending.found(&metadata);
        let (version, digest) = (Version::of(&metadata), content.digest());
        self.cache.record_content(at, &version, digest.clone());
        Ok(Some(Found { version, content, digest }))
    }

    /// The content, with as much of the `reserved` memory as it needs.
    fn kept(
        &self,
        at: &NamespacedName,
        content: Content,
        reserved: Option<Reservation>,
    ) -> Content {
        let size = content.size_in_memory();
        let Some(mut reserved) = reserved.filter(|_| size > SMALL_CONTENT) else {
            self.known_large.lock().remove(at);
            return content;
        };
        self.mark_large(at);
        reserved.shrink_to(size);
        Content { memory: Memory::reserved(reserved), ..content }
    }

    /// Records that the content of the source is large.
    fn mark_large(&self, at: &NamespacedName) {
        let mut known_large = self.known_large.lock();
        if known_large.len() >= MAX_KNOWN_LARGE {
            known_large.clear();
        }
        known_large.insert(at.clone());
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
        let span =
            || tracing::info_span!("wait for the read of another reconcile", config_map = %at);
        let is_large = || self.known_large.lock().contains(at);
        let mut shared = spans::waiting(span, self.shared.turn(at, is_large)).await;
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
        let read = reads::config_map_metadata(&self.client, at).await;
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
}

/// The permissions for live reads of sources and copies, and of large syncs.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["get"]), rule(names::GROUP, "configmapsyncs", &["get"])]
}
