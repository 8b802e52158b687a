//! The requests of all writes, as values.

use std::collections::BTreeMap;

use http::Request;
use http::header;
use json_patch::AddOperation;
use json_patch::Patch;
use json_patch::PatchOperation;
use json_patch::RemoveOperation;
use json_patch::ReplaceOperation;
use json_patch::TestOperation;
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::DeleteParams;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::api::Preconditions;
use serde_json::Value;
use serde_json::json;

use crate::api::ConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::observed::Version;
use crate::decide::plan::NewCopy;
use crate::decide::stamp::Stamp;
use crate::decide::stamped::StampedKeys;
use crate::kubernetes::bodies::ContentPatch;
use crate::kubernetes::bodies::NewConfigMap;
use crate::kubernetes::bodies::to_json;
use crate::names;

/// Requests a metadata-only response (Kubernetes API concepts, "metadata-only fetches").
const ACCEPT_METADATA: header::HeaderValue = header::HeaderValue::from_static(
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
);

/// The object to create at `at`.
#[must_use]
pub fn new_copy<'a>(at: &NamespacedName, copy: &'a NewCopy) -> NewConfigMap<'a> {
    let NewCopy { markers, metadata, content } = copy;
    let mut labels = metadata.labels.clone();
    labels.extend(markers.labels());
    labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned());
    let mut annotations = metadata.annotations.clone();
    annotations.extend(markers.annotations());
    let stamped = StampedKeys::all(metadata).annotation();
    annotations.extend(stamped.map(|stamped| (names::ANNOTATION_STAMPED.to_owned(), stamped)));
    let metadata = ObjectMeta {
        namespace: Some(at.namespace.clone()),
        name: Some(at.name.clone()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    NewConfigMap::new(metadata, content)
}

/// A POST of `copy` at `at`.
///
/// # Errors
/// The name is not valid in a URL.
pub fn post(at: &NamespacedName, copy: &NewCopy) -> kube::Result<Request<Vec<u8>>> {
    let body = to_json(&new_copy(at, copy), &copy.content)?;
    let request = path::<ConfigMap>(at).create(&post_parameters(), body);
    Ok(named("create", request.map_err(kube::Error::BuildRequest)?))
}

/// The patch [`update`] of the copy at `at`.
///
/// # Errors
/// The name is not valid in a URL.
pub fn patch_content(
    at: &NamespacedName,
    seen: &Version,
    stamp: &Stamp,
    content: &Content,
) -> kube::Result<Request<Vec<u8>>> {
    let empty = kube::api::Patch::Json::<()>(Patch(Vec::new()));
    let request = path::<ConfigMap>(at).patch(&at.name, &patch_parameters(), &empty);
    let request = request.map_err(kube::Error::BuildRequest)?;
    let body = to_json(&update(seen, stamp, content), content)?;
    Ok(named("patch", request.map(|_| body)))
}

/// A patch of the object `name` of kind `K` with a metadata-only response.
///
/// # Errors
/// The name is not valid in a URL.
pub fn patch_metadata<K: Resource<DynamicType = ()>>(
    name: &NamespacedName,
    patch: Patch,
) -> kube::Result<Request<Vec<u8>>> {
    let patch = kube::api::Patch::Json::<()>(patch);
    let request = path::<K>(name).patch(&name.name, &patch_parameters(), &patch);
    let request = request.map_err(kube::Error::BuildRequest)?;
    Ok(accepting_metadata("patch_metadata", request))
}

/// A DELETE of the copy at `at` with a metadata-only response, on condition that it has the version
/// `seen`.
///
/// # Errors
/// The name is not valid in a URL.
pub fn delete(at: &NamespacedName, seen: &Version) -> kube::Result<Request<Vec<u8>>> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(seen.uid.clone()),
            resource_version: Some(seen.resource_version.clone()),
        }),
        ..DeleteParams::default()
    };
    let request = path::<ConfigMap>(at).delete(&at.name, &parameters);
    Ok(accepting_metadata("delete", request.map_err(kube::Error::BuildRequest)?))
}

/// A patch of the status of the sync `name` with a metadata-only response.
///
/// # Errors
/// The name is not valid in a URL.
pub fn patch_status(name: &NamespacedName, patch: Patch) -> kube::Result<Request<Vec<u8>>> {
    let patch = kube::api::Patch::Json::<()>(patch);
    let parameters = patch_parameters();
    let request = path::<ConfigMapSync>(name);
    let request = request.patch_subresource("status", &name.name, &parameters, &patch);
    Ok(accepting_metadata("patch_status", request.map_err(kube::Error::BuildRequest)?))
}

/// Parameters of a creation by our field manager, on which drift detection by `managedFields` relies.
#[must_use]
pub fn post_parameters() -> PostParams {
    PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Parameters of a patch by our field manager, on which drift detection by `managedFields` relies.
#[must_use]
pub fn patch_parameters() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// A patch that sets content, markers and metadata, on condition that the copy has the version
/// `seen`. Labels and annotations of others are left unchanged.
#[must_use]
pub fn update<'a>(seen: &Version, stamp: &Stamp, content: &'a Content) -> ContentPatch<'a> {
    ContentPatch::new(restamp(seen, stamp), content)
}

/// A patch that changes markers and metadata only, on condition that the copy has the version
/// `seen`.
#[must_use]
pub fn restamp(seen: &Version, stamp: &Stamp) -> Patch {
    let mut operations = vec![if_unchanged(seen)];
    for (map, changes) in [("labels", &stamp.labels), ("annotations", &stamp.annotations)] {
        if changes.map_is_missing && !changes.set.is_empty() {
            operations.push(add(["metadata", map], json!({})));
        }
        let set = changes.set.iter();
        operations.extend(set.map(|(key, value)| add(["metadata", map, key], json!(value))));
        operations.extend(changes.remove.iter().map(|key| remove(["metadata", map, key])));
    }
    Patch(operations)
}

/// A patch that adds our finalizer to the finalizers `present`, on condition that the sync has the
/// version `seen`.
#[must_use]
pub fn add_finalizer(seen: &Version, present: &[String]) -> Patch {
    let mut finalizers = present.to_vec();
    finalizers.push(names::FINALIZER.to_owned());
    Patch(vec![if_unchanged(seen), add(["metadata", "finalizers"], json!(finalizers))])
}

/// A patch that removes our finalizer from the finalizers `present` and keeps the others, on
/// condition that the sync has the version `seen`.
#[must_use]
pub fn remove_finalizer(seen: &Version, present: &[String]) -> Patch {
    let left: Vec<_> = present.iter().filter(|name| *name != names::FINALIZER).collect();
    Patch(vec![if_unchanged(seen), add(["metadata", "finalizers"], json!(left))])
}

/// A patch that removes the labels and annotations that `stamp` removes, on condition that the object
/// has this uid and that those among its `known` labels and annotations have their values. It carries no
/// resourceVersion: a client that keeps changing other fields cannot make it fail.
#[must_use]
pub fn remove_metadata(uid: &str, stamp: &Stamp, known: &[BTreeMap<String, String>; 2]) -> Patch {
    let mut operations = vec![if_uid(uid)];
    let maps = [("labels", &stamp.labels), ("annotations", &stamp.annotations)];
    for ((map, changes), known) in maps.into_iter().zip(known) {
        for key in &changes.remove {
            let value = known.get(key);
            operations.extend(value.map(|value| test(["metadata", map, key], json!(value))));
            operations.push(remove(["metadata", map, key]));
        }
    }
    Patch(operations)
}

/// As [`remove_finalizer`], on condition that the sync has this uid and that our finalizer is where it is
/// in `present`. It carries no resourceVersion.
#[must_use]
pub fn remove_finalizer_of(uid: &str, present: &[String]) -> Patch {
    let Patch(mut operations) = remove_finalizers(present);
    operations.insert(0, if_uid(uid));
    Patch(operations)
}

/// A patch that removes our finalizer from where it is in `present`, if it is there.
#[must_use]
pub fn remove_finalizers(present: &[String]) -> Patch {
    let mut operations = Vec::new();
    // From the last: the indices of those before stay.
    for (index, name) in present.iter().enumerate().rev() {
        if name == names::FINALIZER {
            let index = index.to_string();
            operations.push(test(["metadata", "finalizers", &index], json!(name)));
            operations.push(remove(["metadata", "finalizers", &index]));
        }
    }
    Patch(operations)
}

/// A patch that replaces the status, on condition that the sync has the version `seen`.
#[must_use]
pub fn replace_status(seen: &Version, status: &Value) -> Patch {
    Patch(vec![if_unchanged(seen), add(["status"], status.clone())])
}

/// Makes a patch compare-and-swap: if the resourceVersion has changed, the API server responds with
/// 409 (Kubernetes API concepts, "resource versions").
fn if_unchanged(seen: &Version) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation {
        path: pointer(["metadata", "resourceVersion"]),
        value: json!(seen.resource_version),
    })
}

/// Makes a patch fail for another object of the same name.
fn if_uid(uid: &str) -> PatchOperation {
    test(["metadata", "uid"], json!(uid))
}

fn test<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: pointer(path), value })
}

fn add<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}

fn remove<const N: usize>(path: [&str; N]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(path) })
}

fn pointer<const N: usize>(path: [&str; N]) -> PointerBuf {
    PointerBuf::from_tokens(path)
}

/// Requests about objects of kind `K` in the namespace of `name`.
fn path<K: Resource<DynamicType = ()>>(name: &NamespacedName) -> kube::core::Request {
    kube::core::Request::new(K::url_path(&(), Some(&name.namespace)))
}

/// Requests a metadata-only response.
fn accepting_metadata(name: &'static str, request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    let mut request = named(name, request);
    request.headers_mut().insert(header::ACCEPT, ACCEPT_METADATA);
    request
}

/// `name` becomes the name of the request's span, as in kube's own calls.
fn named(name: &'static str, mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    request.extensions_mut().insert(name);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::markers::MarkerKeys;

    fn text(patch: &Patch) -> String {
        serde_json::to_string(patch).unwrap()
    }

    #[test]
    fn a_removal_tests_uid_and_values_but_no_version() {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let labels = map(names::LABEL_SYNC_UID, "7");
        let annotations = map(names::ANNOTATION_CREATED, "true");
        let keys = MarkerKeys::of(Some(&labels), Some(&annotations));
        let stamp = Stamp::release(keys, false);
        let patch = text(&remove_metadata("1-2", &stamp, &[labels, annotations]));
        for operation in [
            r#"{"op":"test","path":"/metadata/uid","value":"1-2"}"#,
            r#"{"op":"test","path":"/metadata/labels/apps.nishaf.info~1configmapsync-uid","value":"7"}"#,
            r#"{"op":"remove","path":"/metadata/labels/apps.nishaf.info~1configmapsync-uid"}"#,
            r#"{"op":"test","path":"/metadata/annotations/apps.nishaf.info~1created","value":"true"}"#,
            r#"{"op":"remove","path":"/metadata/annotations/apps.nishaf.info~1created"}"#,
        ] {
            assert!(patch.contains(operation), "{operation} is not in {patch}");
        }
        assert!(!patch.contains("resourceVersion"), "{patch}");
    }

    #[test]
    fn only_our_finalizer_is_removed_wherever_it_is() {
        let present = [names::FINALIZER, "other", names::FINALIZER].map(str::to_owned);
        let patch = text(&remove_finalizer_of("1-2", &present));
        let test = |index| {
            let finalizer = names::FINALIZER;
            format!(
                r#"{{"op":"test","path":"/metadata/finalizers/{index}","value":"{finalizer}"}}"#
            )
        };
        let (first, last) = (patch.find(&test(0)).unwrap(), patch.find(&test(2)).unwrap());
        assert!(last < first, "the removal of the first would move the last: {patch}");
        assert!(!patch.contains("finalizers/1") && !patch.contains("resourceVersion"), "{patch}");
    }
}
