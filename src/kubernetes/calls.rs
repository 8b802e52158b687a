//! The calls that write a copy or a finalizer: the only functions that create, patch or delete
//! them, for the operator and for the commands.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::Resource as _;
use kube::api::Patch;
use kube::core::Status;

use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncStatus;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::observed::Version;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::Values;
use crate::kubernetes::error::classify;
use crate::kubernetes::error::may_repeat_object;
use crate::kubernetes::error::named;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::error::unnamed;
use crate::kubernetes::requests;

/// Creates `copy` at `at`, and returns what is stored: an admission plugin may have changed it.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn post(
    client: &Client,
    at: &NamespacedName,
    copy: ConfigMap,
) -> Result<ConfigMap, CallError> {
    let attempt = format!("create ConfigMap {at}");
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &at.namespace);
    match named(&at.name, api.create(&requests::post_parameters(), &copy).await) {
        Ok(created) => Ok(created),
        Err(error) => Err(classify(&attempt, &error, &Values::Of(vec![&Content::of(copy)]))),
    }
}

/// Patches the copy at `at`, and returns its metadata and, if content was `sent`, the content that is
/// stored: an admission plugin may have changed it. The patch itself carries the resourceVersion that
/// it is conditional on, and the content.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn patch(
    client: &Client,
    at: &NamespacedName,
    patch: json_patch::Patch,
    sent: Option<&Content>,
) -> Result<(ObjectMeta, Option<Content>), CallError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &at.namespace);
    let (patch, parameters) = (Patch::Json::<()>(patch), requests::patch_parameters());
    let patched = if sent.is_some() {
        let patched = named(&at.name, api.patch(&at.name, &parameters, &patch).await);
        patched.map(|mut stored| {
            let metadata = std::mem::take(&mut stored.metadata);
            (metadata, Some(Content::of(stored)))
        })
    } else {
        let patched = api.patch_metadata(&at.name, &parameters, &patch).await;
        named(&at.name, patched).map(|patched| (patched.metadata, None))
    };
    match patched {
        Ok(patched) => Ok(patched),
        Err(error) => Err(rejected(&api, "patch", at, &error, sent).await),
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
) -> Result<Option<ObjectMeta>, CallError> {
    let url = ConfigMap::url_path(&(), Some(&at.namespace));
    let deleted = async {
        let request = requests::delete(&url, &at.name, seen)?;
        client.request_status::<requests::MetadataOnly>(request).await
    };
    match deleted.await {
        Ok(response) => {
            let uid = response.as_ref().either(|it| it.metadata.uid.as_deref(), uid_of_success);
            if uid != Some(&*seen.uid) {
                let attempt = format!("delete ConfigMap {at}");
                return Err(classify(&attempt, &unnamed(), &Values::None));
            }
            let object = response.left().map(|object| object.metadata);
            Ok(object.filter(|object| object.deletion_timestamp.is_some()))
        }
        Err(error) => {
            let api = Api::namespaced(client.clone(), &at.namespace);
            Err(rejected(&api, "delete", at, &error, None).await)
        }
    }
}

/// The uid of the object that was deleted; `None` if the response does not say that one was.
fn uid_of_success(status: &Status) -> Option<&str> {
    let details = status.details.as_ref().filter(|_| status.is_success())?;
    Some(&details.uid)
}

/// Classifies the error of a call that changes an existing copy. The response may repeat what was
/// `sent` and what is stored, so that this is read, if necessary.
async fn rejected(
    api: &Api<ConfigMap>,
    verb: &str,
    at: &NamespacedName,
    error: &kube::Error,
    sent: Option<&Content>,
) -> CallError {
    let stored = if may_repeat_object(error) {
        let stored = named(&at.name, api.get(&at.name).await);
        stored.map(|stored| Some(Content::of(stored))).map_err(drop)
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
            patch(client, at, requests::restamp(seen, stamp), None).await.map(drop)
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
) -> Result<ObjectMeta, CallError> {
    let api: Api<ConfigMapSync> = Api::namespaced(client.clone(), &name.namespace);
    let patch = Patch::Json::<()>(patch);
    let patched = api.patch_metadata(&name.name, &requests::patch_parameters(), &patch).await;
    let failed = |error| {
        classify(&format!("patch the finalizers of ConfigMapSync {name}"), &error, &Values::None)
    };
    Ok(named(&name.name, patched).map_err(failed)?.metadata)
}

/// Replaces the status of the sync `name`, if the sync is as it was `seen`.
pub async fn patch_status(
    client: &Client,
    name: &NamespacedName,
    seen: &Version,
    status: &ConfigMapSyncStatus,
) -> Result<ObjectMeta, CallError> {
    let failed = |error| {
        classify(&format!("patch the status of ConfigMapSync {name}"), &error, &Values::None)
    };
    let status = serde_json::to_value(status).map_err(kube::Error::SerdeError).map_err(failed)?;
    let patch = requests::replace_status(seen, &status);
    let url = ConfigMapSync::url_path(&(), Some(&name.namespace));
    let request = requests::patch_status(&url, &name.name, patch).map_err(failed)?;
    let patched = client.request::<requests::MetadataOnly>(request).await;
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
    let api: Api<ConfigMapSync> = Api::namespaced(client.clone(), &name.namespace);
    let read = api.get_metadata(&name.name).await;
    let failed = |error| ApiFailure::of(&format!("read ConfigMapSync {name}"), &error);
    let found = unless_missing::<ConfigMapSync, _>(&name.name, read).map_err(failed)?;
    Ok(found.map(|found| Version {
        uid: found.metadata.uid.unwrap_or_default(),
        resource_version: found.metadata.resource_version.unwrap_or_default(),
    }))
}
