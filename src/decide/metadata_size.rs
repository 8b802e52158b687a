//! The limit of `spec.destinationMetadata`.

use crate::decide::Failure;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;

/// The length of all keys and values together, in bytes.
const MAX_BYTES: usize = 128 * 1024;

/// Checks the size of `spec.destinationMetadata`. One that was copied before the limit existed is
/// accepted until the spec changes.
///
/// # Errors
/// It is too large.
pub fn check_size(sync: &ObservedSync) -> Result<(), Failure> {
    let metadata = sync.spec.as_ref().ok().and_then(|spec| spec.destination_metadata.as_ref());
    let entries = metadata.iter().flat_map(|it| it.labels.iter().chain(&it.annotations));
    let bytes: usize = entries.map(|(key, value)| key.len() + value.len()).sum();
    if bytes <= MAX_BYTES || was_copied(sync) {
        return Ok(());
    }
    Err(Failure::new(
        Reason::InvalidSpec,
        format!(
            "spec.destinationMetadata has {bytes} bytes of keys and values, and at most {MAX_BYTES} are \
             allowed: shorten or remove annotations"
        ),
    ))
}

/// Whether copies were desired for this generation: only then, the status has a source.
fn was_copied(sync: &ObservedSync) -> bool {
    sync.status.source.is_some() && sync.status.observed_generation == sync.generation
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::ConfigMapSyncSpec;
    use crate::api::ConfigMapSyncStatus;
    use crate::api::DestinationMetadata;
    use crate::api::SourceVersion;
    use crate::api::namespaced_name::NamespacedName;
    use crate::decide::observed::Version;

    fn with_annotation(bytes: usize, status: ConfigMapSyncStatus) -> ObservedSync {
        let annotations = BTreeMap::from([("note".to_owned(), "x".repeat(bytes - "note".len()))]);
        let metadata = DestinationMetadata { annotations, ..DestinationMetadata::default() };
        let spec = ConfigMapSyncSpec {
            destination_metadata: Some(metadata),
            ..ConfigMapSyncSpec::default()
        };
        ObservedSync {
            name: NamespacedName::new("central", "sync"),
            version: Version { uid: "u".into(), resource_version: "1".into() },
            generation: Some(2),
            deleting: false,
            finalizers: Vec::new(),
            spec: Ok(spec),
            status,
            trace_parent: None,
        }
    }

    #[test]
    fn metadata_of_128_kib_is_accepted_and_more_is_not() {
        let check = |bytes| check_size(&with_annotation(bytes, ConfigMapSyncStatus::default()));
        assert_eq!(check(MAX_BYTES), Ok(()));
        let failure = check(MAX_BYTES + 1).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidSpec);
        for words in ["has 131073 bytes", "at most 131072"] {
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn what_was_copied_before_is_accepted_until_the_spec_changes() {
        for (generation, source, is_accepted) in [
            (2, Some(SourceVersion::default()), true),
            (1, Some(SourceVersion::default()), false),
            (2, None, false),
        ] {
            let status = ConfigMapSyncStatus {
                observed_generation: Some(generation),
                content_hash: Some("v1:a".into()),
                source,
                ..ConfigMapSyncStatus::default()
            };
            let checked = check_size(&with_annotation(MAX_BYTES + 1, status));
            assert_eq!(checked.is_ok(), is_accepted, "{checked:?}");
        }
    }
}
