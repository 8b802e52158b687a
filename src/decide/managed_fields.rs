//! Decodes `managedFields` without keeping what decisions do not use.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::Error;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use crate::decide::drift::FieldOwnership;
use crate::decide::drift::ManagedFields;
use crate::names;

/// One entry. The API server writes `fieldsV1` before `subresource`, so that only the end of an entry
/// shows whose fields they are.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    manager: Option<String>,
    operation: Option<String>,
    subresource: Option<String>,
    fields_v1: Fields,
}

/// The fields of one entry, by its `fieldsV1`.
#[derive(Default)]
struct Fields {
    keys: usize,
    has_content: bool,
    immutable: bool,
    labels: BTreeSet<String>,
    annotations: BTreeSet<String>,
}

/// Receives the keys of an object, and decodes or skips the value of each.
trait Keys {
    fn value<'de, A>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>;
}

/// An object, whose keys `Of` receives. Any other value has no keys. The result is whether it is
/// anything but `null`.
struct Object<'a, Of>(&'a mut Of);

/// A key, which is not copied unless it is escaped.
struct Key;

/// The number of keys of `data` or `binaryData`.
#[derive(Default)]
struct Count(usize);

/// The keys of labels or annotations.
struct Names<'a>(&'a mut BTreeSet<String>);

/// `f:metadata`.
struct OfMetadata<'a>(&'a mut Fields);

struct Entries;

// === impl ManagedFields ===

impl<'de> Deserialize<'de> for ManagedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = ManagedFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of managed fields")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<ManagedFields, A::Error> {
        let mut managed = ManagedFields::default();
        let (mut is_of_others, mut ours) = (false, None);
        while let Some(entry) = entries.next_element::<Entry>()? {
            let is_ours = entry.is_our_update();
            let fields = entry.fields_v1;
            if is_ours {
                let (keys, immutable) = ours.unwrap_or_default();
                ours = Some((keys + fields.keys, immutable || fields.immutable));
                managed.labels.extend(fields.labels);
                managed.annotations.extend(fields.annotations);
            } else {
                is_of_others |= fields.has_content;
            }
        }
        managed.content = match ours {
            Some((keys, immutable)) if !is_of_others => FieldOwnership::Ours { keys, immutable },
            _ => FieldOwnership::Suspect,
        };
        Ok(managed)
    }
}

// === impl Entry ===

impl Entry {
    fn is_our_update(&self) -> bool {
        self.manager.as_deref() == Some(names::FIELD_MANAGER)
            && self.operation.as_deref() == Some("Update")
            && self.subresource.as_deref().unwrap_or_default().is_empty()
    }
}

// === impl Fields ===

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Self::default();
        Object(&mut fields).deserialize(deserializer)?;
        Ok(fields)
    }
}

impl Keys for Fields {
    fn value<'de, A>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        match key {
            "f:data" | "f:binaryData" => {
                let mut count = Count::default();
                self.has_content |= object.next_value_seed(Object(&mut count))?;
                self.keys += count.0;
            }
            "f:immutable" => {
                self.immutable |= object.next_value::<Option<IgnoredAny>>()?.is_some();
                self.has_content |= self.immutable;
            }
            "f:metadata" => {
                object.next_value_seed(Object(&mut OfMetadata(self)))?;
            }
            _ => skip(object)?,
        }
        Ok(())
    }
}

impl Keys for OfMetadata<'_> {
    fn value<'de, A>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        let names = match key {
            "f:labels" => &mut self.0.labels,
            "f:annotations" => &mut self.0.annotations,
            _ => return skip(object),
        };
        object.next_value_seed(Object(&mut Names(names))).map(drop)
    }
}

// In `managedFields` a key of a map is written `f:<key>`, and the map itself `.`.

impl Keys for Count {
    fn value<'de, A>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        self.0 += usize::from(key.starts_with("f:"));
        skip(object)
    }
}

impl Keys for Names<'_> {
    fn value<'de, A>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        self.0.extend(key.strip_prefix("f:").map(str::to_owned));
        skip(object)
    }
}

fn skip<'de, A: MapAccess<'de>>(object: &mut A) -> Result<(), A::Error> {
    object.next_value::<IgnoredAny>().map(drop)
}

// === impl Object ===

impl<'de, Of: Keys> DeserializeSeed<'de> for Object<'_, Of> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, Of: Keys> Visitor<'de> for Object<'_, Of> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        while let Some(key) = object.next_key_seed(Key)? {
            self.0.value(&key, &mut object)?;
        }
        Ok(true)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(true)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(true)
    }
}

// === impl Key ===

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
