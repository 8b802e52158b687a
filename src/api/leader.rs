//! The kind `ConfigMapSyncLeader`: which pod leads, in a form that the API server can check.
//!
//! There is one object of it, in the operator's own namespace. It is a kind of our own, since a
//! policy whose parameter is of a native kind goes on comparing with an old version of it once the
//! policy was deleted and created again (kubernetes #130887).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use kube::CustomResourceExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::api::as_installed;

/// Who leads.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "apps.nishaf.info",
    version = "v1",
    kind = "ConfigMapSyncLeader",
    plural = "configmapsyncleaders",
    namespaced,
    doc = "Announces which pod of the operator leads. Written by the operator alone: the first leader creates it, and each later one replaces it before its first write.",
    printcolumn(
        name = "Holder",
        type_ = "string",
        json_path = ".spec.holder",
        description = "Who leads."
    ),
    printcolumn(
        name = "Term",
        type_ = "integer",
        json_path = ".spec.term",
        description = "How many leaders there have been."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".spec.since",
        description = "Time since it was announced."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSyncLeaderSpec {
    /// `metadata.uid` of the pod that leads. Where the fence is installed, no other pod of the
    /// operator can write a copy.
    #[serde(rename = "podUID")]
    #[schemars(length(min = 1, max = 128))]
    pub pod_uid: String,

    /// The leader as the Lease names it: one process of that pod.
    #[schemars(length(min = 1, max = 128))]
    pub holder: String,

    /// Grows by one with each leader.
    #[schemars(range(min = 1))]
    pub term: i64,

    /// When the leader announced itself, by its own clock; for people.
    pub since: Time,
}

/// The definition of the kind `ConfigMapSyncLeader`, as it is installed.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    as_installed(ConfigMapSyncLeader::crd())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_uid_is_spelled_as_the_fence_reads_it() {
        let spec = ConfigMapSyncLeaderSpec {
            pod_uid: "1-2".to_owned(),
            holder: "operator-0_00000007_1-2".to_owned(),
            term: 3,
            since: serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap(),
        };
        let expected = json!({
            "podUID": "1-2",
            "holder": "operator-0_00000007_1-2",
            "term": 3,
            "since": "2026-01-02T03:04:05Z",
        });
        assert_eq!(serde_json::to_value(spec).unwrap(), expected);
    }
}
