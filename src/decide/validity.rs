//! Validates a spec.
//!
//! The API server validates a spec at admission. Objects that were stored before a rule existed are
//! validated again here, by the same rules.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ParseExpressionError;
use kube::core::Selector;

use crate::api::ConfigMapSyncSpec;
use crate::api::DestinationMetadata;
use crate::api::dns_names::MAX_LABEL;
use crate::api::dns_names::is_dns_label;
use crate::api::dns_names::is_dns_subdomain;
use crate::names;

/// Maximum number of entries in `spec.keys`.
const MAX_KEYS: usize = 512;

/// Validates `spec`.
///
/// # Errors
/// The first violated rule: what is wrong, and what to do.
pub fn check(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    check_names(spec)?;
    check_destination(spec)?;
    check_keys(spec)?;
    check_metadata(spec)?;
    match &spec.destination_namespace_selector {
        Some(labels) => selector(labels).map(|_| ()),
        None => Ok(()),
    }
}

/// Name of the copies: `destinationName`, by default the name of the source.
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
                "spec.{field} {value:?} is not a valid namespace name: correct it"
            ));
        }
    }
    let subdomains = [
        ("configMapName", "ConfigMap", Some(&spec.config_map_name)),
        ("destinationName", "ConfigMap", spec.destination_name.as_ref()),
        ("serviceAccountName", "ServiceAccount", spec.service_account_name.as_ref()),
    ];
    for (field, kind, value) in subdomains {
        if let Some(value) = value
            && !is_dns_subdomain(value)
        {
            return Err(format!("spec.{field} {value:?} is not a valid {kind} name: correct it"));
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
        return Err("source and destination are the same ConfigMap: set another \
                    spec.destinationNamespace or spec.destinationName"
            .to_owned());
    }
    Ok(())
}

/// Converts `spec.destinationNamespaceSelector`.
///
/// # Errors
/// The selector is invalid: what is wrong, and what to do.
pub fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    let invalid = |why: &str| {
        format!("spec.destinationNamespaceSelector is invalid: {why}: correct the selector")
    };
    for (key, value) in selector.match_labels.iter().flatten() {
        check_label(key, [value]).map_err(|why| invalid(&why))?;
    }
    for requirement in selector.match_expressions.iter().flatten() {
        let has_values = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
        let key = &requirement.key;
        check_label(key, requirement.values.iter().flatten()).map_err(|why| invalid(&why))?;
        match (requirement.operator.as_str(), has_values) {
            ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => {}
            ("In" | "NotIn", false) => {
                return Err(invalid(&format!("the expression on {key:?} requires values")));
            }
            ("Exists" | "DoesNotExist", true) => {
                return Err(invalid(&format!("the expression on {key:?} must not have values")));
            }
            (operator, _) => {
                return Err(invalid(&format!("the operator {operator:?} does not exist")));
            }
        }
    }
    selector.clone().try_into().map_err(|error: ParseExpressionError| invalid(&error.0))
}

/// Fails unless `key` and `values` can be those of a label: such a `NotIn` or `DoesNotExist` would
/// select every namespace.
fn check_label<'a>(key: &str, values: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    if !is_qualified_name(key) {
        return Err(format!("{key:?} is not a valid label key"));
    }
    match values.into_iter().find(|value| !value.is_empty() && !is_label_value(value)) {
        Some(value) => Err(format!(
            "{value:?} is not a valid value of the label {key:?}, of at most 63 letters, digits, \
             '-', '_' and '.'"
        )),
        None => Ok(()),
    }
}

fn check_keys(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    let Some(keys) = &spec.keys else { return Ok(()) };
    let distinct: BTreeSet<_> = keys.iter().collect();
    if keys.is_empty() || keys.len() > MAX_KEYS || distinct.len() != keys.len() {
        return Err(format!(
            "spec.keys must list 1 to {MAX_KEYS} different keys: correct the list, or remove it to \
             copy all keys"
        ));
    }
    Ok(())
}

fn check_metadata(spec: &ConfigMapSyncSpec) -> Result<(), String> {
    let Some(DestinationMetadata { labels, annotations }) = &spec.destination_metadata else {
        return Ok(());
    };
    let fields = [("labels", labels), ("annotations", annotations)];
    for (field, key) in
        fields.iter().flat_map(|(field, map)| map.keys().map(move |key| (field, key)))
    {
        if key.starts_with(names::PREFIX) || key == names::LABEL_MANAGED_BY {
            return Err(format!(
                "spec.destinationMetadata.{field} must not set {key:?}, which is reserved for the \
                 operator: remove it"
            ));
        }
        if !is_qualified_name(key) {
            return Err(format!(
                "spec.destinationMetadata.{field} has the invalid key {key:?}: correct it"
            ));
        }
    }
    match labels.iter().find(|(_, value)| !value.is_empty() && !is_label_value(value)) {
        Some((key, _)) => Err(format!(
            "spec.destinationMetadata.labels sets {key:?} to an invalid value: use at most 63 \
             letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        )),
        None => Ok(()),
    }
}

/// `name` or `prefix/name` (Kubernetes, "Labels and Selectors", syntax).
fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_value(name),
        None => is_label_value(text),
    }
}

fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_LABEL
        && text.chars().all(inner)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    fn valid() -> ConfigMapSyncSpec {
        ConfigMapSyncSpec {
            source_namespace: "central".into(),
            config_map_name: "shared".into(),
            destination_namespace: Some("app".into()),
            ..ConfigMapSyncSpec::default()
        }
    }

    fn error_of(change: impl FnOnce(&mut ConfigMapSyncSpec)) -> String {
        let mut spec = valid();
        change(&mut spec);
        check(&spec).unwrap_err()
    }

    #[test]
    fn a_plain_spec_is_valid() {
        assert_eq!(check(&valid()), Ok(()));
    }

    #[test]
    fn an_invalid_name_is_reported_with_its_field() {
        assert!(error_of(|s| s.source_namespace = "Big".into()).contains("sourceNamespace"));
        assert!(error_of(|s| s.config_map_name = String::new()).contains("configMapName"));
        assert!(error_of(|s| s.config_map_name = "a..b".into()).contains("configMapName"));
        assert!(
            error_of(|s| s.destination_namespace = Some("a.b".into()))
                .contains("destinationNamespace")
        );
        assert!(
            error_of(|s| s.destination_name = Some("a".repeat(254))).contains("destinationName")
        );
        // An empty name must not count as none.
        for invalid in ["", "a:b"] {
            let message = error_of(|s| s.service_account_name = Some(invalid.into()));
            assert!(message.contains("serviceAccountName"), "{message}");
        }
    }

    #[test]
    fn exactly_one_destination_field_is_required() {
        assert!(error_of(|s| s.destination_namespace = None).contains("exactly one"));
        assert!(
            error_of(|s| s.destination_namespace_selector = Some(LabelSelector::default()))
                .contains("exactly one")
        );
    }

    #[test]
    fn the_source_is_not_a_valid_destination() {
        let message = error_of(|s| s.destination_namespace = Some("central".into()));
        assert!(message.contains("the same ConfigMap"), "{message}");
    }

    #[test]
    fn kube_root_ca_is_not_a_valid_destination() {
        assert!(error_of(|s| s.config_map_name = "kube-root-ca.crt".into()).contains("Kubernetes"));
    }

    #[test]
    fn spec_keys_are_limited_and_distinct() {
        assert!(error_of(|s| s.keys = Some(vec![])).contains("spec.keys"));
        assert!(error_of(|s| s.keys = Some(vec!["a".into(), "a".into()])).contains("spec.keys"));
        let too_many = (0..=MAX_KEYS).map(|number| number.to_string()).collect();
        assert!(error_of(|s| s.keys = Some(too_many)).contains("spec.keys"));
    }

    #[test]
    fn reserved_and_invalid_metadata_keys_are_rejected() {
        for (key, value, word) in [
            ("apps.nishaf.info/x", "a", "apps.nishaf.info/x"),
            ("app.kubernetes.io/managed-by", "a", "managed-by"),
            ("no space", "a", "no space"),
            ("a/b/c", "a", "a/b/c"),
            ("team", "no space", "team"),
        ] {
            let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let metadata = DestinationMetadata { labels, ..DestinationMetadata::default() };
            let message = error_of(|s| s.destination_metadata = Some(metadata));
            assert!(message.contains(word), "{message}");
        }
    }

    fn with_expression(key: &str, operator: &str, values: Option<&str>) -> LabelSelector {
        let requirement = LabelSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values: values.map(|value| vec![value.to_owned()]),
        };
        LabelSelector { match_expressions: Some(vec![requirement]), ..LabelSelector::default() }
    }

    fn with_label(key: &str, value: &str) -> LabelSelector {
        let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
    }

    #[test]
    fn an_invalid_selector_is_rejected() {
        let long = "v".repeat(64);
        for (selector, word) in [
            (with_expression("team", "In", None), "requires values"),
            (with_expression("team", "NotIn", None), "requires values"),
            (with_expression("team", "Exists", Some("a")), "must not have values"),
            (with_expression("team", "Is", None), "\"Is\""),
            (with_expression("team name", "DoesNotExist", None), "\"team name\""),
            (with_expression("a/b/c", "NotIn", Some("a")), "\"a/b/c\""),
            (with_expression(&long, "Exists", None), "not a valid label key"),
            (with_expression("team", "NotIn", Some("a b")), "\"a b\""),
            (with_expression("team", "In", Some(&long)), "at most 63"),
            (with_label("", "a"), "not a valid label key"),
            (with_label("team name", "a"), "\"team name\""),
            (with_label("team", &long), "at most 63"),
        ] {
            let message = error_of(|s| {
                s.destination_namespace = None;
                s.destination_namespace_selector = Some(selector);
            });
            assert!(message.contains("destinationNamespaceSelector"), "{message}");
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_selector_of_possible_labels_is_valid() {
        let key = format!("{}/{}", "p".repeat(253), "n".repeat(63));
        for valid in [
            LabelSelector::default(),
            with_label(&key, &"v".repeat(63)),
            with_label("Team_1.x", ""),
            with_expression("team", "NotIn", Some("")),
            with_expression("example.com/team", "In", Some("A-b_c.9")),
            with_expression("team", "DoesNotExist", None),
        ] {
            assert!(selector(&valid).is_ok(), "{valid:?}");
        }
    }
}
