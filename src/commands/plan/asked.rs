//! Which syncs a plan is asked for.

use std::io::Read as _;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use serde::Deserialize;
use serde_json::Value;

use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::args::Plan;
use crate::commands::survey::Survey;

/// Stands for the uid that a sync does not have yet. No label can have this value.
const NO_UID: &str = "(not created yet)";

/// What was asked for cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that was named cannot be read, or holds something else.
    #[error("cannot plan {path}: {why}")]
    File {
        /// Where it lies.
        path: String,
        /// Why.
        why: String,
    },
    /// The sync that was named does not exist.
    #[error("ConfigMapSync {0} does not exist: plan a file by --filename, or name another")]
    NoSuchSync(NamespacedName),
}

/// A sync that a plan is asked for.
pub struct Asked {
    /// Which.
    pub name: NamespacedName,
    /// As it is, or as it would be once the file is applied.
    pub stored: StoredConfigMapSync,
    /// Whether the cluster has it already.
    pub exists: bool,
}

/// The syncs that `flags` ask for: those of a file, in `namespace` where it names none; the one
/// that is named; or all.
///
/// # Errors
/// The file cannot be read or understood, or there is no such sync.
pub fn asked(flags: &Plan, survey: &Survey, namespace: &str) -> Result<Vec<Asked>, Error> {
    if let Some(file) = &flags.filename {
        return of_file(file, survey, namespace);
    }
    let exists = |(name, stored): (&NamespacedName, &StoredConfigMapSync)| Asked {
        name: name.clone(),
        stored: stored.clone(),
        exists: true,
    };
    match &flags.sync {
        None => Ok(survey.syncs.iter().map(exists).collect()),
        Some(name) => match survey.syncs.get_key_value(name) {
            Some(found) => Ok(vec![exists(found)]),
            None => Err(Error::NoSuchSync(name.clone())),
        },
    }
}

#[derive(Deserialize)]
struct Manifest {
    metadata: ObjectMeta,
    spec: ConfigMapSyncSpec,
}

fn of_file(file: &Path, survey: &Survey, namespace: &str) -> Result<Vec<Asked>, Error> {
    let broken = |why: String| Error::File { path: file.display().to_string(), why };
    let text = read(file).map_err(|error| broken(error.to_string()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| broken(error.to_string()))?;
    let is_sync = |document: &Value| {
        document["kind"] == *ConfigMapSync::kind(&())
            && document["apiVersion"] == *ConfigMapSync::api_version(&())
    };
    let syncs: Vec<_> = documents.into_iter().filter(is_sync).collect();
    if syncs.is_empty() {
        return Err(broken(format!("no {} is in it", ConfigMapSync::kind(&()))));
    }
    syncs
        .into_iter()
        .map(|document| {
            let manifest: Manifest =
                serde_json::from_value(document).map_err(|error| broken(error.to_string()))?;
            let Some(name) = manifest.metadata.name.clone() else {
                return Err(broken("metadata.name is missing".to_owned()));
            };
            let namespace = manifest.metadata.namespace.as_deref().unwrap_or(namespace);
            let name = NamespacedName::new(namespace, name);
            Ok(applied(name, manifest.spec, survey))
        })
        .collect()
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        Ok(text)
    } else {
        std::fs::read_to_string(file)
    }
}

/// The sync as it will be once the manifest is applied.
fn applied(name: NamespacedName, spec: ConfigMapSyncSpec, survey: &Survey) -> Asked {
    let spec = Ok(spec);
    let existing = survey.syncs.get(&name).cloned();
    let exists = existing.is_some();
    let mut stored = existing.unwrap_or_else(|| StoredConfigMapSync {
        metadata: ObjectMeta {
            namespace: Some(name.namespace.clone()),
            name: Some(name.name.clone()),
            uid: Some(NO_UID.to_owned()),
            resource_version: Some("0".to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        status: ConfigMapSyncStatus::default(),
    });
    if stored.spec != spec {
        stored.spec = spec;
        // What the status tells, it tells of another generation.
        stored.metadata.generation = stored.metadata.generation.map(|before| before + 1);
    }
    Asked { name, stored, exists }
}
