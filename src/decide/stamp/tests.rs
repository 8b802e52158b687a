use proptest::prelude::*;

use super::*;
use crate::decide::markers::tests::any_markers;

fn any_map() -> impl Strategy<Value = Map> {
    proptest::collection::btree_map("[a-d]", "[xyz]", 0..4)
}

fn map(entries: &[(&str, &str)]) -> Map {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn with_labels(labels: &[(&str, &str)]) -> DestinationMetadata {
    DestinationMetadata { labels: map(labels), ..DestinationMetadata::default() }
}

fn union(markers: Map, others: &Map) -> Map {
    markers.into_iter().chain(others.clone()).collect()
}

/// Applies `changes` as a JSON patch would.
fn apply(map: &mut Map, changes: &Changes) {
    for key in &changes.remove {
        assert!(map.remove(key).is_some(), "a patch that removes {key:?} would fail");
    }
    map.extend(changes.set.clone());
}

/// The labels and annotations of an object, and the keys that are ours in `managedFields`.
#[derive(Clone, Default)]
struct Object {
    labels: Map,
    annotations: Map,
    managed: BTreeSet<String>,
}

impl Object {
    fn marked(markers: &Markers, labels: &Map) -> Self {
        let labels = union(markers.labels(), labels);
        Self { labels, annotations: markers.annotations(), ..Self::default() }
    }

    fn created(markers: &Markers, metadata: &DestinationMetadata) -> Self {
        let mut object = Self::marked(markers, &metadata.labels);
        let record = StampedKeys::all(metadata).annotation();
        object.annotations.extend(record.map(|it| (names::ANNOTATION_STAMPED.to_owned(), it)));
        object
    }

    fn stamp(
        &self,
        stamp: fn(Present<'_>, &Markers, &DestinationMetadata) -> Stamp,
        desired: &Markers,
        metadata: &DestinationMetadata,
    ) -> Stamp {
        let (labels, annotations) = (Some(&self.labels), Some(&self.annotations));
        let markers = Markers::parse(labels, annotations);
        let marker_keys = MarkerKeys::of(labels, annotations);
        let other = &OtherMetadata::of(labels, annotations, (&self.managed, &self.managed));
        stamp(Present { markers: markers.as_ref(), marker_keys, other }, desired, metadata)
    }

    fn apply(&mut self, stamp: &Stamp) {
        apply(&mut self.labels, &stamp.labels);
        apply(&mut self.annotations, &stamp.annotations);
    }

    fn to(mut self, desired: &Markers, metadata: &DestinationMetadata) -> Self {
        self.apply(&self.stamp(Stamp::to, desired, metadata));
        self
    }

    fn record(&self) -> Option<StampedKeys> {
        StampedKeys::parse(self.annotations.get(names::ANNOTATION_STAMPED)?)
    }
}

fn markers() -> Markers {
    let labels = map(&[(names::LABEL_SYNC_UID, "1")]);
    Markers::parse(Some(&labels), None).unwrap()
}

#[test]
fn a_dropped_label_is_removed_while_it_has_our_value() {
    let mut copy = Object::created(&markers(), &with_labels(&[("team", "a"), ("tier", "web")]));
    copy.labels.insert("tier".into(), "theirs".into());
    let copy = copy.to(&markers(), &with_labels(&[]));
    assert_eq!(copy.labels, union(markers().labels(), &map(&[("tier", "theirs")])));
    assert_eq!(copy.record(), None, "the record is removed");
}

#[test]
fn without_a_valid_record_managed_fields_decide() {
    let labels = map(&[("ours", "a"), ("theirs", "a")]);
    for record in [None, Some("{"), Some(r#"{"labels":[]}"#)] {
        let mut copy = Object::marked(&markers(), &labels);
        let record = record.map(|it| (names::ANNOTATION_STAMPED.to_owned(), it.to_owned()));
        copy.annotations.extend(record);
        copy.managed.insert("ours".into());
        let copy = copy.to(&markers(), &with_labels(&[]));
        assert_eq!(copy.labels, union(markers().labels(), &map(&[("theirs", "a")])));
        assert!(copy.annotations.is_empty(), "{:?}", copy.annotations);
    }
}

#[test]
fn a_missing_record_is_written_only_with_another_change() {
    let mut copy = Object::marked(&markers(), &map(&[("ours", "a"), ("theirs", "b")]));
    copy.managed.insert("ours".into());
    let metadata = with_labels(&[("ours", "a"), ("theirs", "b")]);
    assert!(copy.stamp(Stamp::to, &markers(), &metadata).is_empty());
    let metadata = with_labels(&[("ours", "a"), ("theirs", "b"), ("new", "c")]);
    assert!(!copy.stamp(Stamp::to, &markers(), &metadata).is_empty());
    let record = copy.to(&markers(), &metadata).record().unwrap();
    assert!(record.has_label("ours", "a") && record.has_label("new", "c"));
    assert!(!record.has_label("theirs", "b"), "the operator did not put it there");
}

#[test]
fn reserved_keys_in_a_forged_record_are_kept() {
    let forged = with_labels(&[
        ("app.kubernetes.io/managed-by", "configmapsync"),
        ("apps.nishaf.info/x", "1"),
    ]);
    let copy = Object::created(&markers(), &forged);
    let labels = copy.labels.clone();
    assert_eq!(copy.to(&markers(), &with_labels(&[])).labels, labels);
}

#[test]
fn adoption_keeps_the_labels_of_a_cloned_record() {
    let clone = Object::created(&markers(), &with_labels(&[("team", "a")]));
    let mut adopted = clone.clone();
    adopted.apply(&clone.stamp(Stamp::adopt, &markers(), &with_labels(&[])));
    assert_eq!((adopted.labels.clone(), adopted.record()), (clone.labels, None));
    assert_eq!(adopted.clone().to(&markers(), &with_labels(&[])).labels, adopted.labels);
}

proptest! {
    #[test]
    fn stamping_sets_desired_keys_and_keeps_foreign_keys(
        was in any_markers(), desired in any_markers(),
        others in any_map(), ours in "[a-d]{0,2}", labels in any_map(),
    ) {
        let metadata = DestinationMetadata { labels: labels.clone(), ..DestinationMetadata::default() };
        let managed = ours.chars().map(String::from).collect();
        let copy = Object { managed, ..Object::marked(&was, &others) }.to(&desired, &metadata);
        let kept: Map = others.into_iter().filter(|(key, _)| !ours.contains(key.as_str())).collect();
        let expected = union(union(desired.labels(), &kept), &labels);
        prop_assert_eq!(&copy.labels, &expected);
        prop_assert!(copy.stamp(Stamp::to, &desired, &metadata).is_empty());
        let again = copy.clone().to(&desired, &metadata);
        prop_assert_eq!(again.annotations, copy.annotations, "the record is stable");
    }

    /// A key that was stamped and is dropped is removed, without `managedFields`.
    #[test]
    fn dropped_keys_are_removed_without_managed_fields(
        was in any_markers(), before in any_map(), after in any_map(), theirs in any_map(),
    ) {
        let [before, after] = [before, after].map(|labels| DestinationMetadata { labels, ..DestinationMetadata::default() });
        let theirs: Map = theirs.into_iter().map(|(key, value)| (format!("their-{key}"), value)).collect();
        let mut copy = Object::created(&was, &before);
        copy.labels.extend(theirs.clone());
        let copy = copy.to(&was, &after);
        let expected = union(union(was.labels(), &after.labels), &theirs);
        prop_assert_eq!(&copy.labels, &expected);
        let copy = copy.to(&was, &DestinationMetadata::default());
        prop_assert_eq!(&copy.labels, &union(was.labels(), &theirs));
        prop_assert_eq!(copy.annotations, was.annotations());
    }

    #[test]
    fn markers_as_desired_need_not_be_built(
        was in any_markers(), created: bool, is_bare: bool,
        labels in any_map(), annotations in any_map(), others in any_map(), notes in any_map(),
    ) {
        let desired = Markers { created, ..was.clone() };
        let metadata = DestinationMetadata { labels, annotations };
        let mut object = Object::marked(&was, &others);
        object.annotations.extend(notes);
        if is_bare {
            object.annotations = was.annotations();
        }
        let quick = object.stamp(|present, _, it| Stamp::set_metadata(present, it), &desired, &metadata);
        prop_assert_eq!(quick, object.stamp(Stamp::set_state, &desired, &metadata));
    }

    #[test]
    fn created_is_neither_set_nor_removed(was in any_markers(), desired in any_markers()) {
        let stamp = Object::marked(&was, &Map::new()).stamp(Stamp::to, &desired, &DestinationMetadata::default());
        prop_assert!(!stamp.annotations.set.contains_key(names::ANNOTATION_CREATED));
        prop_assert!(!stamp.annotations.remove.contains(names::ANNOTATION_CREATED));
    }

    #[test]
    fn adoption_leaves_no_other_marker(
        was in any_markers(), desired in any_markers(), created in "true|yes|", is_labelled: bool,
    ) {
        let mut object = Object::marked(&was, &map(&[("team", "a")]));
        object.annotations.insert(names::ANNOTATION_CREATED.to_owned(), created);
        object.annotations.insert(names::ANNOTATION_STAMPED.to_owned(), "{}".to_owned());
        if !is_labelled {
            object.labels.remove(names::LABEL_SYNC_UID);
        }
        object.apply(&object.stamp(Stamp::adopt, &desired, &DestinationMetadata::default()));
        prop_assert_eq!(object.labels, union(desired.labels(), &map(&[("team", "a")])));
        let desired = Markers { created: false, ..desired };
        prop_assert_eq!(object.annotations, desired.annotations());
    }

    #[test]
    fn a_released_copy_has_no_markers(was in any_markers(), others in any_map(), created in "true|yes|") {
        let mut object = Object::marked(&was, &others);
        object.annotations.extend(others.clone());
        object.annotations.insert(names::ANNOTATION_CREATED.to_owned(), created);
        object.annotations.insert(names::ANNOTATION_STAMPED.to_owned(), "?".to_owned());
        let keys = MarkerKeys::of(Some(&object.labels), Some(&object.annotations));
        object.apply(&Stamp::release(keys, false));
        prop_assert_eq!(&object.labels, &others);
        prop_assert_eq!(&object.annotations, &others);
    }
}
