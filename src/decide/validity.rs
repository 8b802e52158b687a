//! Whether a spec can be carried out at all.
//!
//! The API server refuses what is wrong at admission. What was stored before a rule existed is
//! checked again here, by the same rules.

use crate::api::ConfigMapSyncSpec;
use crate::api::ConflictPolicy;
use crate::api::SourceDeletionPolicy;
use crate::names;

/// Length of a DNS-1123 label (RFC 1123), which a namespace's name is.
const MAX_LABEL: usize = 63;
/// Length of a DNS-1123 subdomain, which a `ConfigMap`'s name is.
const MAX_SUBDOMAIN: usize = 253;

/// Tells what is wrong with `spec`, in a sentence that says what to do; `Ok` if nothing is.
pub fn check(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    check_names(spec)?;
    check_destination(spec)?;
    check_not_available_yet(spec)
}

/// Name of the copy: `destinationName`, or else the name of the source.
#[must_use]
pub fn destination_name(spec: &ConfigMapSyncSpec) -> &str {
    spec.destination_name.as_deref().unwrap_or(&spec.config_map_name)
}

fn check_names(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    let namespaces = [
        ("sourceNamespace", Some(&spec.source_namespace)),
        ("destinationNamespace", spec.destination_namespace.as_ref()),
    ];
    for (field, value) in namespaces {
        if let Some(value) = value
            && !is_dns_label(value)
        {
            return Err(format!(
                "spec.{field} {value:?} is not the name of a namespace: change it"
            ));
        }
    }
    let config_maps = [
        ("configMapName", Some(&spec.config_map_name)),
        ("destinationName", spec.destination_name.as_ref()),
    ];
    for (field, value) in config_maps {
        if let Some(value) = value
            && !is_dns_subdomain(value)
        {
            return Err(format!(
                "spec.{field} {value:?} is not the name of a ConfigMap: change it"
            ));
        }
    }
    Ok(())
}

fn check_destination(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    if spec.destination_namespace.is_some() == spec.destination_namespace_selector.is_some() {
        return Err("set exactly one of spec.destinationNamespace and \
                    spec.destinationNamespaceSelector"
            .to_owned());
    }
    let name = destination_name(spec);
    if name == names::KUBE_ROOT_CA {
        return Err(format!(
            "{name} is published by Kubernetes in every namespace: set spec.destinationName to \
             another name"
        ));
    }
    if spec.destination_namespace.as_ref() == Some(&spec.source_namespace)
        && name == spec.config_map_name
    {
        return Err("source and destination are the same ConfigMap: choose another \
                    spec.destinationNamespace or spec.destinationName"
            .to_owned());
    }
    Ok(())
}

/// A field that does not work yet is named, never ignored in silence.
fn check_not_available_yet(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    let unavailable = [
        ("destinationNamespaceSelector", spec.destination_namespace_selector.is_some()),
        ("keys", spec.keys.is_some()),
        ("destinationMetadata", spec.destination_metadata.is_some()),
        (
            "sourceDeletionPolicy: Delete",
            spec.source_deletion_policy == SourceDeletionPolicy::Delete,
        ),
        ("conflictPolicy: Adopt", spec.conflict_policy == ConflictPolicy::Adopt),
    ];
    match unavailable.iter().find(|(_, used)| *used) {
        Some((field, _)) => {
            Err(format!("spec.{field} is not available in this version of the operator: remove it"))
        }
        None => Ok(()),
    }
}

/// Whether a namespace can be called `text`.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_LABEL).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether an object can be called `text`.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    use super::*;

    fn valid() -> ConfigMapSyncSpec {
        ConfigMapSyncSpec {
            source_namespace: "central".into(),
            config_map_name: "shared".into(),
            destination_namespace: Some("app".into()),
            ..ConfigMapSyncSpec::default()
        }
    }

    fn complaint(change: impl FnOnce(&mut ConfigMapSyncSpec)) -> String {
        let mut spec = valid();
        change(&mut spec);
        check(&spec).unwrap_err()
    }

    #[test]
    fn a_plain_spec_is_valid() {
        assert_eq!(check(&valid()), Ok(()));
    }

    #[test]
    fn a_name_that_is_no_dns_name_is_named_with_its_field() {
        assert!(complaint(|s| s.source_namespace = "Big".into()).contains("sourceNamespace"));
        assert!(complaint(|s| s.config_map_name = String::new()).contains("configMapName"));
        assert!(complaint(|s| s.config_map_name = "a..b".into()).contains("configMapName"));
        assert!(
            complaint(|s| s.destination_namespace = Some("a.b".into()))
                .contains("destinationNamespace")
        );
        assert!(
            complaint(|s| s.destination_name = Some("a".repeat(254))).contains("destinationName")
        );
    }

    #[test]
    fn both_and_neither_destination_are_refused() {
        assert!(complaint(|s| s.destination_namespace = None).contains("exactly one"));
        assert!(
            complaint(|s| s.destination_namespace_selector = Some(LabelSelector::default()))
                .contains("exactly one")
        );
    }

    #[test]
    fn the_source_is_no_destination() {
        let message = complaint(|s| s.destination_namespace = Some("central".into()));
        assert!(message.contains("the same ConfigMap"), "{message}");
    }

    #[test]
    fn the_root_certificate_is_no_destination() {
        assert!(
            complaint(|s| s.config_map_name = "kube-root-ca.crt".into()).contains("Kubernetes")
        );
    }

    #[test]
    fn what_does_not_work_yet_is_named() {
        assert!(complaint(|s| s.keys = Some(vec!["a".into()])).contains("spec.keys"));
        assert!(complaint(|s| s.conflict_policy = ConflictPolicy::Adopt).contains("Adopt"));
    }
}
