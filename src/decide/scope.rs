//! Which namespaces a spec may name, if the operator is limited to some.

use crate::api::ConfigMapSyncSpec;
use crate::api::scope::Scope;
use crate::decide::observed::ObservedSync;

/// `sync`, with an invalid spec if that names a namespace outside `scope`. A selector is valid: it
/// selects the namespaces in `scope` only.
#[must_use]
pub fn limited_to(scope: &Scope, mut sync: ObservedSync) -> ObservedSync {
    sync.spec = sync.spec.and_then(|spec| check(scope, &spec).map(|()| spec));
    sync
}

fn check(scope: &Scope, spec: &ConfigMapSyncSpec) -> Result<(), String> {
    let destination = spec.destination_namespace.as_ref();
    let fields = [
        ("spec.sourceNamespace", Some(&spec.source_namespace)),
        ("spec.destinationNamespace", destination),
    ];
    for (field, namespace) in fields {
        if let Some(namespace) = namespace.filter(|it| !scope.contains(it)) {
            return Err(format!(
                "{field}: the operator is not allowed to work in namespace {namespace}: set another \
                 one, or add it to the operator's flag --namespaces (chart value scope.namespaces)"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(source: &str, destination: Option<&str>) -> ConfigMapSyncSpec {
        ConfigMapSyncSpec {
            source_namespace: source.to_owned(),
            destination_namespace: destination.map(str::to_owned),
            ..ConfigMapSyncSpec::default()
        }
    }

    #[test]
    fn a_namespace_outside_the_scope_is_named() {
        let scope = Scope::of(&["a".to_owned(), "b".to_owned()], "own");
        for (spec, expected) in [
            (spec("a", Some("b")), None),
            (spec("own", None), None),
            (spec("c", Some("b")), Some("spec.sourceNamespace: ")),
            (spec("a", Some("c")), Some("spec.destinationNamespace: ")),
        ] {
            let error = check(&scope, &spec).err();
            assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
            let named = error.unwrap_or_default();
            assert!(named.starts_with(expected.unwrap_or_default()), "{named}");
            assert_eq!(check(&Scope::Cluster, &spec), Ok(()));
        }
    }
}
