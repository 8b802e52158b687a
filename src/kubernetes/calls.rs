//! The calls that write a copy or a finalizer: the only functions that create, patch or delete
//! them, for the operator and for the commands.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::core::response::StatusDetails;
use serde::Deserialize;

use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncStatus;
use crate::api::metadata::Metadata;
use crate::api::metadata::MetadataOnly;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::drift::ConfigMapMetadata;
use crate::decide::drift::ManagedFields;
use crate::decide::observed::Version;
use crate::decide::plan::NewCopy;
use crate::decide::stamp::Stamp;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::Values;
use crate::kubernetes::error::classify;
use crate::kubernetes::error::may_repeat_object;
use crate::kubernetes::error::named;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::error::unnamed;
use crate::kubernetes::reads;
use crate::kubernetes::reads::StoredConfigMap;
use crate::kubernetes::requests;
use crate::kubernetes::responses;

/// The response to a DELETE: the object if a finalizer keeps it or if it was deleted at once, or a
/// `Status`.
#[derive(Deserialize)]
struct Deleted {
    kind: Option<String>,
    #[serde(default)]
    metadata: ConfigMapMetadata,
    status: Option<String>,
    details: Option<StatusDetails>,
}

// === impl Deleted ===

impl Deleted {
    /// The uid of the object that was deleted; `None` if the response does not say that one was.
    fn uid(&self) -> Option<&str> {
        if self.kind.as_deref() != Some("Status") {
            return self.metadata.uid.as_deref();
        }
        let details =
            self.details.as_ref().filter(|_| self.status.as_deref() == Some("Success"))?;
        Some(&details.uid)
    }
}

/// Creates `copy` at `at`, and returns what is stored: an admission plugin may have changed it.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn post(
    client: &Client,
    at: &NamespacedName,
    copy: &NewCopy,
) -> Result<(ConfigMapMetadata, Content), CallError> {
    let attempt = format!("create ConfigMap {at}");
    let posted = async {
        let request = requests::post(at, copy)?;
        responses::request::<StoredConfigMap>(client, request).await
    };
    match named(&at.name, posted.await) {
        Ok(created) => Ok(created.into_parts()),
        Err(error) => Err(classify(&attempt, &error, &Values::Of(vec![&copy.content]))),
    }
}

/// Updates the copy at `at`, on condition that it still has the version `seen`. Returns what is stored:
/// an admission plugin may have changed it.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn update(
    client: &Client,
    at: &NamespacedName,
    seen: &Version,
    stamp: &Stamp,
    content: &Content,
) -> Result<(ConfigMapMetadata, Content), CallError> {
    let patched = async {
        let request = requests::patch_content(at, seen, stamp, content)?;
        responses::request::<StoredConfigMap>(client, request).await
    };
    match named(&at.name, patched.await) {
        Ok(patched) => Ok(patched.into_parts()),
        Err(error) => Err(rejected(client, "patch", at, &error, Some(content)).await),
    }
}

/// Patches markers and metadata of the copy at `at`. Returns its metadata. The patch itself carries what
/// it is conditional on, and no content.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn patch(
    client: &Client,
    at: &NamespacedName,
    patch: json_patch::Patch,
) -> Result<ConfigMapMetadata, CallError> {
    let patched = async {
        let request = requests::patch_metadata::<ConfigMap>(at, patch)?;
        responses::request::<MetadataOnly<ManagedFields>>(client, request).await
    };
    match named(&at.name, patched.await) {
        Ok(patched) => Ok(patched.metadata),
        Err(error) => Err(rejected(client, "patch", at, &error, None).await),
    }
}

/// Deletes the copy at `at`, on condition that it still has the version `seen`. Returns its
/// metadata if a finalizer keeps it, and `None` if it is gone, which only a response that names its
/// uid proves.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn delete(
    client: &Client,
    at: &NamespacedName,
    seen: &Version,
) -> Result<Option<ConfigMapMetadata>, CallError> {
    let deleted = async {
        let request = requests::delete(at, seen)?;
        responses::request::<Deleted>(client, request).await
    };
    match deleted.await {
        Ok(response) if response.uid() == Some(&*seen.uid) => {
            let object = Some(response.metadata);
            Ok(object.filter(|object| object.deletion_timestamp.is_some()))
        }
        Ok(_) => {
            let attempt = format!("delete ConfigMap {at}");
            Err(classify(&attempt, &unnamed(), &Values::None))
        }
        Err(error) => Err(rejected(client, "delete", at, &error, None).await),
    }
}

/// Classifies the error of a call that changes an existing copy. The response may repeat what was
/// `sent` and what is stored, so that this is read, if necessary.
async fn rejected(
    client: &Client,
    verb: &str,
    at: &NamespacedName,
    error: &kube::Error,
    sent: Option<&Content>,
) -> CallError {
    let stored = if may_repeat_object(error) {
        let stored = named(&at.name, reads::config_map(client, at).await);
        stored.map(|stored| Some(stored.into_parts().1)).map_err(drop)
    } else {
        Ok(None)
    };
    let values = match &stored {
        Ok(stored) => Values::Of(sent.into_iter().chain(stored).collect()),
        Err(()) => Values::Unknown,
    };
    classify(&format!("{verb} ConfigMap {at}"), error, &values)
}

/// Carries out an action that writes no content: restamps, releases or deletes the copy at `at`.
/// Any other action is reserved for the leader, and does nothing here.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn retire(
    client: &Client,
    at: &NamespacedName,
    action: &Action,
) -> Result<(), CallError> {
    match action {
        Action::Restamp { seen, stamp } | Action::Release { seen, stamp } => {
            patch(client, at, requests::restamp(seen, stamp)).await.map(drop)
        }
        Action::Delete { seen } => delete(client, at, seen).await.map(drop),
        Action::Create(_)
        | Action::Update { .. }
        | Action::Replace { .. }
        | Action::Keep
        | Action::Leave(_) => Ok(()),
    }
}

/// Patches the finalizers of the sync `name`, and returns its metadata. The patch itself carries
/// the resourceVersion that it is conditional on.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn patch_finalizers(
    client: &Client,
    name: &NamespacedName,
    patch: json_patch::Patch,
) -> Result<Metadata, CallError> {
    let patched = async {
        let request = requests::patch_metadata::<ConfigMapSync>(name, patch)?;
        responses::request::<MetadataOnly>(client, request).await
    };
    let failed = |error| {
        classify(&format!("patch the finalizers of ConfigMapSync {name}"), &error, &Values::None)
    };
    Ok(named(&name.name, patched.await).map_err(failed)?.metadata)
}

/// Replaces the status of the sync `name`, if the sync is as it was `seen`.
pub async fn patch_status(
    client: &Client,
    name: &NamespacedName,
    seen: &Version,
    status: &ConfigMapSyncStatus,
) -> Result<Metadata, CallError> {
    let failed = |error| {
        classify(&format!("patch the status of ConfigMapSync {name}"), &error, &Values::None)
    };
    let status = serde_json::to_value(status).map_err(kube::Error::SerdeError).map_err(failed)?;
    let patch = requests::replace_status(seen, &status);
    let request = requests::patch_status(name, patch).map_err(failed)?;
    let patched = responses::request::<MetadataOnly>(client, request).await;
    Ok(named(&name.name, patched).map_err(failed)?.metadata)
}

/// Reads the version of the sync `name`; `None` if it does not exist.
///
/// # Errors
/// The API server rejects the read, or does not respond.
pub async fn sync_version(
    client: &Client,
    name: &NamespacedName,
) -> Result<Option<Version>, ApiFailure> {
    let read = reads::sync_metadata(client, name).await;
    let failed = |error| ApiFailure::of(&format!("read ConfigMapSync {name}"), &error);
    let found = unless_missing::<ConfigMapSync, _>(&name.name, read).map_err(failed)?;
    Ok(found.map(|found| Version::of(&found.metadata)))
}
