//! Adaptations that both generated `CustomResourceDefinition`s need for installation.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::ResourceExt as _;

/// The annotation of an object that Helm does not delete.
pub const KEPT_BY_HELM: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// Adapts a generated definition for installation.
///
/// No field is nullable, so that the API server prunes a `null` instead of storing it. Helm keeps the
/// definition on uninstall, because deleting it would delete all objects of the kind.
pub(super) fn as_installed(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let (key, keep) = KEPT_BY_HELM;
    definition.annotations_mut().insert(key.to_owned(), keep.to_owned());
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        schema.map(without_nulls);
    }
    definition
}

fn without_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| without_nulls(property));
}
