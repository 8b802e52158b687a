//! `ConfigMapSync`s of every shape, and the objects around them.

use std::collections::BTreeMap;

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::ConflictPolicy;
use configmapsync::api::DeletionPolicy;
use configmapsync::api::DestinationMetadata;
use configmapsync::api::SourceDeletionPolicy;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Namespaces of sources and `ConfigMapSync`s.
const CENTRAL: [&str; 4] = ["central-0", "central-1", "central-2", "central-3"];
/// Destinations, each with the label `group` of its number modulo two.
pub const APPS: [&str; 6] = ["app-0", "app-1", "app-2", "app-3", "app-4", "app-5"];
/// The destination where a quota on `ConfigMaps` comes and goes.
pub const QUOTA: &str = "quota";
/// The destination where a policy that alters copies comes and goes.
pub const MUTATED: &str = "mutated";

/// What is special about a `ConfigMapSync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    Selector,
    Keys,
    Metadata,
    Immutable,
    Binary,
    Retained,
    FollowsDeletion,
    Adopts,
    Conflicts,
    Competes,
    WithoutSource,
    WithoutNamespace,
    Protected,
    Suspended,
    Quota,
    Mutated,
}

const SHAPES: [Shape; 17] = [
    Shape::Plain,
    Shape::Selector,
    Shape::Keys,
    Shape::Metadata,
    Shape::Immutable,
    Shape::Binary,
    Shape::Retained,
    Shape::FollowsDeletion,
    Shape::Adopts,
    Shape::Conflicts,
    Shape::Competes,
    Shape::WithoutSource,
    Shape::WithoutNamespace,
    Shape::Protected,
    Shape::Suspended,
    Shape::Quota,
    Shape::Mutated,
];

/// One `ConfigMapSync` of the run. Its source has the same namespace and name.
#[derive(Clone, Copy, Debug)]
pub struct Item(pub usize);

/// Creates the namespaces.
pub async fn create_namespaces(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&CENTRAL).await?;
    for (number, name) in APPS.iter().enumerate() {
        fixture.create_labelled_namespace(name, &[("group", group(number))]).await?;
    }
    fixture.create_namespaces(&[QUOTA, MUTATED]).await
}

/// The value of the label `group` of a destination.
pub const fn group(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

// === impl Item ===

impl Item {
    const fn shape(self) -> Shape {
        SHAPES[self.0 % SHAPES.len()]
    }

    pub const fn namespace(self) -> &'static str {
        CENTRAL[self.0 % CENTRAL.len()]
    }

    /// The common name of the source and the `ConfigMapSync`.
    pub fn name(self) -> String {
        format!("item-{}", self.0)
    }

    /// The name of its copies.
    pub fn copy_name(self) -> String {
        match self.shape() {
            Shape::Competes => "competed".to_owned(),
            _ => format!("copy-{}", self.0),
        }
    }

    /// The namespace of its first copy.
    pub const fn destination(self) -> &'static str {
        match self.shape() {
            Shape::Quota => QUOTA,
            Shape::Mutated => MUTATED,
            Shape::WithoutNamespace => "nowhere",
            Shape::Protected => "kube-public",
            _ => APPS[self.0 % APPS.len()],
        }
    }

    pub fn spec(self) -> ConfigMapSyncSpec {
        let spec = one_to_one(self.namespace(), &self.name(), self.destination());
        let spec = ConfigMapSyncSpec { destination_name: Some(self.copy_name()), ..spec };
        match self.shape() {
            Shape::Selector => ConfigMapSyncSpec {
                destination_namespace: None,
                destination_namespace_selector: Some(selector(group(self.0 / SHAPES.len()))),
                ..spec
            },
            Shape::Keys => ConfigMapSyncSpec { keys: Some(vec!["a".to_owned()]), ..spec },
            Shape::Metadata => ConfigMapSyncSpec { destination_metadata: Some(stamp()), ..spec },
            Shape::Retained => {
                ConfigMapSyncSpec { deletion_policy: DeletionPolicy::Retain, ..spec }
            }
            Shape::FollowsDeletion => {
                let source_deletion_policy = SourceDeletionPolicy::Delete;
                ConfigMapSyncSpec { source_deletion_policy, ..spec }
            }
            Shape::Adopts => ConfigMapSyncSpec { conflict_policy: ConflictPolicy::Adopt, ..spec },
            Shape::Suspended => ConfigMapSyncSpec { suspend: true, ..spec },
            _ => spec,
        }
    }

    /// Whether a source exists from the start.
    pub fn has_source(self) -> bool {
        self.shape() != Shape::WithoutSource
    }

    /// Whether edits of the source's data are refused.
    pub fn is_immutable(self) -> bool {
        self.shape() == Shape::Immutable
    }

    /// The source with this value in its data.
    pub fn source(self, value: &str) -> ConfigMap {
        let mut source = object(self.namespace(), &self.name(), value);
        source.immutable = self.is_immutable().then_some(true);
        if self.shape() == Shape::Binary {
            let bytes = (0..=u8::MAX).chain(value.bytes()).collect();
            source.binary_data = Some(BTreeMap::from([("bytes".to_owned(), ByteString(bytes))]));
        }
        source
    }

    /// The object of another owner that is at the destination from the start.
    pub fn foreign(self) -> Option<ConfigMap> {
        let exists = matches!(self.shape(), Shape::Adopts | Shape::Conflicts);
        exists.then(|| object(self.destination(), &self.copy_name(), "theirs"))
    }
}

fn object(namespace: &str, name: &str, value: &str) -> ConfigMap {
    let data = [("a", value), ("b", "constant")];
    let data = data.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from(data)),
        ..ConfigMap::default()
    }
}

fn selector(group: &str) -> LabelSelector {
    let labels = BTreeMap::from([("group".to_owned(), group.to_owned())]);
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn stamp() -> DestinationMetadata {
    let pair = || BTreeMap::from([("example.com/stamped".to_owned(), "yes".to_owned())]);
    DestinationMetadata { labels: pair(), annotations: pair() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_run_has_every_shape() {
        let shapes: Vec<_> = (0..20).map(|number| Item(number).shape()).collect();
        assert!(SHAPES.iter().all(|shape| shapes.contains(shape)));
    }
}
