//! Changes of a copy that are drift, or only look like it.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConflictPolicy;
use configmapsync::api::DestinationMetadata;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;

/// More field managers than the API server lists separately.
pub const UPDATERS: usize = 11;

/// A change of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Nothing,
    EditedAndBack,
    AppliedWithTheSameValue,
    ElevenUpdaters,
    ManagedFieldsCleared,
    FiveThousandKeys,
    ManyLongKeys,
    AdoptedWithEqualContent,
    ImmutableByHand,
    StampedLabelChanged,
    RecordMissing,
    ValueChanged,
}

/// All rows.
pub const ROWS: [Row; 12] = [
    Row::Nothing,
    Row::EditedAndBack,
    Row::AppliedWithTheSameValue,
    Row::ElevenUpdaters,
    Row::ManagedFieldsCleared,
    Row::FiveThousandKeys,
    Row::ManyLongKeys,
    Row::AdoptedWithEqualContent,
    Row::ImmutableByHand,
    Row::StampedLabelChanged,
    Row::RecordMissing,
    Row::ValueChanged,
];

impl Row {
    /// The name of the ConfigMapSync, the source and the copy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::EditedAndBack => "edited-and-back",
            Self::AppliedWithTheSameValue => "applied",
            Self::ElevenUpdaters => "eleven-updaters",
            Self::ManagedFieldsCleared => "cleared",
            Self::FiveThousandKeys => "many-keys",
            Self::ManyLongKeys => "many-long-keys",
            Self::AdoptedWithEqualContent => "adopted",
            Self::ImmutableByHand => "immutable",
            Self::StampedLabelChanged => "label",
            Self::RecordMissing => "record",
            Self::ValueChanged => "value",
        }
    }

    /// The title in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::EditedAndBack => "edited and edited back",
            Self::AppliedWithTheSameValue => "server-side apply of the same value",
            Self::ElevenUpdaters => "11 different updaters",
            Self::ManagedFieldsCleared => "managedFields cleared",
            Self::FiveThousandKeys => "has 5,000 keys",
            Self::ManyLongKeys => "has 4,000 keys of 253 characters: no managedFields",
            Self::AdoptedWithEqualContent => "adopted with equal content",
            Self::ImmutableByHand => "immutable set by hand",
            Self::StampedLabelChanged => "a stamped label changed",
            Self::RecordMissing => "written before stamped labels were recorded",
            Self::ValueChanged => "a value changed",
        }
    }

    /// The verbs of its repair; empty if it is no drift.
    pub fn repair(self) -> &'static [&'static str] {
        match self {
            Self::ImmutableByHand => &["delete", "create"],
            Self::StampedLabelChanged | Self::ValueChanged => &["patch"],
            _ => &[],
        }
    }

    /// Whether its repair needs the data of the source.
    pub fn needs_source(self) -> bool {
        matches!(self, Self::ImmutableByHand | Self::ValueChanged)
    }

    fn has_stamped_label(self) -> bool {
        matches!(self, Self::StampedLabelChanged | Self::RecordMissing)
    }

    fn data(self) -> Vec<(String, &'static str)> {
        match self {
            Self::FiveThousandKeys => (0..5_000).map(|n| (format!("key-{n:04}"), "v")).collect(),
            Self::ManyLongKeys => (0..4_000).map(|n| (format!("{n:0253}"), "v")).collect(),
            _ => vec![("a".to_owned(), "1"), ("b".to_owned(), "2")],
        }
    }

    /// Creates the source and the ConfigMapSync. The operator creates the copy.
    pub async fn prepare(self, fixture: &Fixture) -> Result<()> {
        let data = self.data();
        let data: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        fixture.create_config_map("central", self.name(), &data).await?;
        let mut spec = one_to_one("central", self.name(), "app");
        if self == Self::AdoptedWithEqualContent {
            fixture.create_config_map("app", self.name(), &data).await?;
            spec.conflict_policy = ConflictPolicy::Adopt;
        }
        if self.has_stamped_label() {
            let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
            let stamped = DestinationMetadata { labels, ..DestinationMetadata::default() };
            spec.destination_metadata = Some(stamped);
        }
        fixture.create_sync("central", self.name(), spec).await?;
        Ok(())
    }

    /// Makes the change, and fails if it had no effect.
    pub async fn disturb(self, fixture: &Fixture) -> Result<()> {
        match self {
            Self::Nothing | Self::FiveThousandKeys | Self::AdoptedWithEqualContent => {}
            Self::EditedAndBack => {
                for value in ["edited", "1"] {
                    self.patch(fixture, "editor", json!({"data": {"a": value}})).await?;
                }
                ensure!(self.managers(fixture).await?.contains(&"editor".to_owned()));
            }
            Self::AppliedWithTheSameValue => self.apply(fixture).await?,
            Self::ElevenUpdaters => {
                for number in 0..UPDATERS {
                    self.update(fixture, number).await?;
                }
                let managers = self.managers(fixture).await?;
                ensure!(managers.contains(&"ancient-changes".to_owned()), "{managers:?}");
            }
            Self::ManagedFieldsCleared => {
                let cleared = json!({"metadata": {"managedFields": [{}]}});
                self.patch(fixture, "cleaner", cleared).await?;
                ensure!(self.managers(fixture).await?.is_empty());
            }
            Self::ManyLongKeys => {
                let managers = self.managers(fixture).await?;
                ensure!(managers.is_empty(), "{managers:?}");
            }
            Self::ImmutableByHand => {
                self.patch(fixture, "editor", json!({"immutable": true})).await?;
            }
            Self::StampedLabelChanged => {
                let edit = json!({"metadata": {"labels": {"team": "b"}}});
                self.patch(fixture, "editor", edit).await?;
            }
            Self::RecordMissing => {
                let record = json!({"annotations": {names::ANNOTATION_STAMPED: null}});
                self.patch(fixture, "editor", json!({"metadata": record})).await?;
            }
            Self::ValueChanged => {
                self.patch(fixture, "editor", json!({"data": {"a": "x"}})).await?;
            }
        }
        Ok(())
    }

    /// Sets an annotation of the copy as the field manager with this number.
    pub async fn update(self, fixture: &Fixture, number: usize) -> Result<()> {
        let key = format!("example.com/updater-{number}");
        let edit = json!({"metadata": {"annotations": {key: "was here"}}});
        self.patch(fixture, &format!("updater-{number}"), edit).await
    }

    /// Fails unless the copy is as its ConfigMapSync desires.
    pub async fn ensure_in_sync(self, fixture: &Fixture) -> Result<()> {
        let copy = fixture.config_map("app", self.name()).await?.context("no copy")?;
        let wanted = self.data().into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        ensure!(copy.data == Some(wanted), "{}: {:?}", self.title(), copy.metadata);
        ensure!(copy.immutable.is_none(), "{}: immutable", self.title());
        if self.has_stamped_label() {
            let labels = copy.metadata.labels.unwrap_or_default();
            ensure!(labels.get("team").is_some_and(|team| team == "a"), "{labels:?}");
        }
        Ok(())
    }

    async fn patch(self, fixture: &Fixture, manager: &str, patch: Value) -> Result<()> {
        let by = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let patched = copies(fixture).patch(self.name(), &by, &Patch::Merge(patch)).await;
        patched.with_context(|| format!("{}: patching as {manager}", self.title()))?;
        Ok(())
    }

    async fn apply(self, fixture: &Fixture) -> Result<()> {
        let same = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name()},
            "data": {"a": "1"},
        });
        let by = PatchParams::apply("applier");
        copies(fixture).patch(self.name(), &by, &Patch::Apply(same)).await?;
        let managers = self.managers(fixture).await?;
        ensure!(managers.contains(&"applier".to_owned()), "{managers:?}");
        Ok(())
    }

    /// The field managers of the copy.
    pub async fn managers(self, fixture: &Fixture) -> Result<Vec<String>> {
        let copy = fixture.config_map("app", self.name()).await?.context("no copy")?;
        let entries = copy.metadata.managed_fields.unwrap_or_default();
        Ok(entries.into_iter().filter_map(|entry| entry.manager).collect())
    }
}

fn copies(fixture: &Fixture) -> Api<ConfigMap> {
    Api::namespaced(fixture.client(), "app")
}
