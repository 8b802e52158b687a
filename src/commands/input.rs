//! The syncs that a command is about: in the cluster, or in a file as if it were applied.

use std::io::Read as _;
use std::path::Path;

use kube::Client;
use kube::Resource as _;
use serde::Deserialize;
use serde_json::Value;

use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::Metadata;
use crate::api::namespaced_name::NamespacedName;
use crate::commands::error::Error;
use crate::commands::error::InputError;
use crate::commands::snapshot::Snapshot;

/// The uid of a sync that does not exist yet. It is not a valid label value, so no copy has it.
const NO_UID: &str = "(not created yet)";

/// A sync that a command is about.
pub struct SyncInput {
    /// Its namespace and name.
    pub name: NamespacedName,
    /// The spec that a file would give it.
    spec: Option<ConfigMapSyncSpec>,
}

/// Which syncs a command is about.
pub enum Selection {
    /// All in the cluster.
    All,
    /// The one with this name in the cluster.
    Named(NamespacedName),
    /// Those of a file.
    File(Vec<SyncInput>),
}

// === impl Selection ===

impl Selection {
    /// The syncs of `file`, with `namespace` as the default namespace; otherwise the one that is `named`;
    /// otherwise all in the cluster. Called before any request, so that an unusable file costs none.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub fn of(
        file: Option<&Path>,
        named: Option<&NamespacedName>,
        namespace: &str,
    ) -> Result<Self, InputError> {
        match (file, named) {
            (Some(file), _) => from_file(file, namespace).map(Self::File),
            (None, Some(name)) => Ok(Self::Named(name.clone())),
            (None, None) => Ok(Self::All),
        }
    }

    /// The selected syncs.
    ///
    /// # Errors
    /// A sync does not exist, or is in a namespace outside the scope.
    pub fn among(self, snapshot: &Snapshot) -> Result<Vec<SyncInput>, InputError> {
        let existing = |name| SyncInput { name, spec: None };
        match self {
            Self::All => Ok(snapshot.syncs.keys().cloned().map(existing).collect()),
            Self::Named(name) => {
                snapshot.ensure_in_scope(&name)?;
                if snapshot.syncs.contains_key(&name) {
                    Ok(vec![existing(name)])
                } else {
                    Err(InputError::NoSuchSync(name))
                }
            }
            Self::File(inputs) => {
                inputs.iter().try_for_each(|input| snapshot.ensure_in_scope(&input.name))?;
                Ok(inputs)
            }
        }
    }
}

// === impl SyncInput ===

impl SyncInput {
    /// The sync as stored, or as it would be stored once the file is applied, and whether it exists in
    /// the cluster.
    ///
    /// # Errors
    /// It cannot be read, or was deleted meanwhile.
    pub async fn stored(
        &self,
        client: &Client,
        snapshot: &Snapshot,
    ) -> Result<(StoredConfigMapSync, bool), Error> {
        let existing = snapshot.sync(client, &self.name).await?;
        let exists = existing.is_some();
        let stored = match &self.spec {
            Some(spec) => Some(applied(&self.name, spec.clone(), existing)),
            None => existing,
        };
        let stored = stored.ok_or_else(|| InputError::NoSuchSync(self.name.clone()))?;
        Ok((stored, exists))
    }
}

#[derive(Deserialize)]
struct SyncManifest {
    metadata: Metadata,
    spec: ConfigMapSyncSpec,
}

fn from_file(file: &Path, namespace: &str) -> Result<Vec<SyncInput>, InputError> {
    let unusable = |why: String| InputError::File { path: file.display().to_string(), why };
    let text = read(file).map_err(|error| unusable(error.to_string()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| unusable(error.to_string()))?;
    let is_sync = |document: &Value| {
        document["kind"] == *ConfigMapSync::kind(&())
            && document["apiVersion"] == *ConfigMapSync::api_version(&())
    };
    let syncs: Vec<_> = documents.into_iter().filter(is_sync).collect();
    if syncs.is_empty() {
        return Err(unusable(format!("it contains no {}", ConfigMapSync::kind(&()))));
    }
    syncs
        .into_iter()
        .map(|document| {
            let manifest: SyncManifest =
                serde_json::from_value(document).map_err(|error| unusable(error.to_string()))?;
            let Some(name) = manifest.metadata.name.clone() else {
                return Err(unusable("metadata.name is missing".to_owned()));
            };
            let namespace = manifest.metadata.namespace.as_deref().unwrap_or(namespace);
            let name = NamespacedName::new(namespace, name);
            Ok(SyncInput { name, spec: Some(manifest.spec) })
        })
        .collect()
}

/// The text of `file`; `-` is standard input.
fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        Ok(text)
    } else {
        std::fs::read_to_string(file)
    }
}

/// The sync as it would be stored once the manifest is applied.
fn applied(
    name: &NamespacedName,
    spec: ConfigMapSyncSpec,
    existing: Option<StoredConfigMapSync>,
) -> StoredConfigMapSync {
    let spec = Ok(spec);
    let mut stored = existing.unwrap_or_else(|| StoredConfigMapSync {
        metadata: Metadata {
            namespace: Some(name.namespace.clone()),
            name: Some(name.name.clone()),
            uid: Some(NO_UID.to_owned()),
            resource_version: Some("0".to_owned()),
            generation: Some(1),
            ..Metadata::default()
        },
        spec: spec.clone(),
        status: ConfigMapSyncStatus::default(),
    });
    if stored.spec != spec {
        stored.spec = spec;
        // A new generation, so that the status counts as outdated.
        stored.metadata.generation = stored.metadata.generation.map(|before| before + 1);
    }
    stored
}
