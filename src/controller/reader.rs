//! Reads of live `ConfigMaps`. What is seen is noted in the inventory at once.
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
use crate::controller::error::Refusal;
use crate::controller::inventory::Inventory;
use crate::controller::inventory::Known;
use crate::controller::inventory::Teller;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::observed::Version;
use crate::names::NamespacedName;

/// A content, and what is known of it.
pub type Read = (Arc<Content>, Digest);

/// A content that somebody may still hold, and the version that it was read at.
type Shared = Option<(Version, Digest, Weak<Content>)>;

/// How many reads are in flight at a time. Each holds a whole `ConfigMap` and a connection.
const CONCURRENT_READS: usize = 32;

/// Reads whole `ConfigMaps`.
pub struct Reader {
    client: Client,
    inventory: Arc<Inventory>,
    shared: Mutex<HashMap<NamespacedName, Arc<tokio::sync::Mutex<Shared>>>>,
    permits: Semaphore,
}

// === impl Reader ===

impl Reader {
    /// A reader that notes what it sees in `inventory`.
    #[must_use]
    pub fn new(client: Client, inventory: Arc<Inventory>) -> Self {
        let permits = Semaphore::new(CONCURRENT_READS);
        Self { client, inventory, shared: Mutex::default(), permits }
    }

    /// Reads the `ConfigMap` at `at`; `None` if there is none.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn read(&self, at: &NamespacedName) -> Result<Option<Read>, Refusal> {
        Ok(self.read_version(at).await?.map(|(_, read)| read))
    }

    /// As [`Reader::read`], unless the version that the inventory knows was read before and
    /// somebody still holds its content.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn read_shared(&self, at: &NamespacedName) -> Result<Option<Read>, Refusal> {
        let slot = self.slot(at);
        let mut shared = slot.lock().await;
        if let Known::Present(entry) = self.inventory.config_map(at)
            && let Some((version, digest, content)) = &*shared
            && *version == entry.version
            && let Some(content) = content.upgrade()
        {
            return Ok(Some((content, digest.clone())));
        }
        let read = self.read_version(at).await?;
        *shared = read.as_ref().map(|(version, (content, digest))| {
            (version.clone(), digest.clone(), Arc::downgrade(content))
        });
        Ok(read.map(|(_, read)| read))
    }

    /// Looks at the metadata of the `ConfigMap` at `at`, after a write has told that it is not as
    /// it was seen.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub async fn look(&self, at: &NamespacedName) -> Result<(), Refusal> {
        let _permit = self.permits.acquire().await;
        match self.api(at).get_metadata_opt(&at.name).await {
            Ok(Some(found)) => {
                // What is known is wrong, or there would be no look: it gives way.
                self.inventory.config_map_gone(at, None, Teller::Read);
                self.inventory.config_map_seen(&found.metadata, Teller::Read);
            }
            Ok(None) => self.nothing_at(at),
            Err(error) => return Err(Refusal::of_read(&format!("look at ConfigMap {at}"), &error)),
        }
        Ok(())
    }

    async fn read_version(&self, at: &NamespacedName) -> Result<Option<(Version, Read)>, Refusal> {
        // Never closed, so a permit always comes.
        let _permit = self.permits.acquire().await;
        let config_map = match self.api(at).get_opt(&at.name).await {
            Ok(Some(config_map)) => config_map,
            Ok(None) => {
                self.nothing_at(at);
                return Ok(None);
            }
            Err(error) => return Err(Refusal::of_read(&format!("read ConfigMap {at}"), &error)),
        };
        self.inventory.config_map_seen(&config_map.metadata, Teller::Read);
        let version = Version {
            uid: config_map.metadata.uid.clone().unwrap_or_default(),
            resource_version: config_map.metadata.resource_version.clone().unwrap_or_default(),
        };
        let content = Arc::new(Content::of(config_map));
        let digest = content.digest();
        self.inventory.content_read(at, &version, digest.clone());
        Ok(Some((version, (content, digest))))
    }

    fn nothing_at(&self, at: &NamespacedName) {
        self.inventory.config_map_gone(at, None, Teller::Read);
        self.inventory.config_map_absent(at);
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
