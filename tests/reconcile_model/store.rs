//! Every `ConfigMap` that occurs, stored once: a state refers to them by number, and stays small.

use std::collections::HashMap;
use std::sync::Arc;

use configmapsync::names as keys;
use parking_lot::RwLock;

use crate::names::Life;
use crate::names::Sync;
use crate::object::Field;
use crate::object::Object;
use crate::object::Restored;

/// The number of a `ConfigMap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(u16);

/// The numbered `ConfigMaps`.
#[derive(Debug, Default)]
pub struct Store(RwLock<Objects>);

/// Numbered values, of which there are few.
#[derive(Debug)]
pub struct Numbered<T>(RwLock<Vec<T>>);

#[derive(Debug, Default)]
struct Objects {
    by_id: Vec<Arc<Object>>,
    ids: HashMap<Arc<Object>, ObjectId>,
}

// === impl Numbered ===

impl<T: Clone + PartialEq> Numbered<T> {
    /// Without any values.
    pub fn new() -> Self {
        Self(RwLock::default())
    }

    /// The number of `value`.
    ///
    /// # Panics
    /// There are too many.
    pub fn id(&self, value: T) -> u16 {
        let mut values = self.0.write();
        let known = values.iter().position(|known| *known == value);
        let id = known.unwrap_or(values.len());
        if known.is_none() {
            values.push(value);
        }
        id.try_into().expect("fewer than 65,536 values")
    }

    /// The value with this number.
    pub fn get(&self, id: u16) -> T {
        self.0.read()[usize::from(id)].clone()
    }
}

// === impl Store ===

impl Store {
    /// The number of `object`.
    ///
    /// # Panics
    /// There are too many.
    pub fn id(&self, object: Object) -> ObjectId {
        if let Some(id) = self.0.read().ids.get(&object) {
            return *id;
        }
        let mut objects = self.0.write();
        let next = ObjectId(objects.by_id.len().try_into().expect("fewer than 65,536 ConfigMaps"));
        let object = Arc::new(object);
        if let Some(id) = objects.ids.get(&object) {
            return *id;
        }
        objects.by_id.push(Arc::clone(&object));
        objects.ids.insert(object, next);
        next
    }

    /// The `ConfigMap` with this number.
    pub fn get(&self, id: ObjectId) -> Arc<Object> {
        Arc::clone(&self.0.read().by_id[usize::from(id.0)])
    }

    /// After a change.
    pub fn changed(&self, id: ObjectId, change: impl FnOnce(&mut Object)) -> ObjectId {
        let mut object = (*self.get(id)).clone();
        change(&mut object);
        self.id(object)
    }

    /// With another uid of `sync` in its label, if it has the uid `from`.
    pub fn with_uid(&self, id: ObjectId, sync: Sync, from: Life, to: Life) -> ObjectId {
        if self.get(id).owner() != Some((sync, from)) {
            return id;
        }
        self.changed(id, |object| {
            let is_ours = object.ours.contains(&(Field::Labels, keys::LABEL_SYNC_UID.to_owned()));
            object.set(Field::Labels, keys::LABEL_SYNC_UID, &to.uid(sync));
            if is_ours {
                object.ours.insert((Field::Labels, keys::LABEL_SYNC_UID.to_owned()));
            }
        })
    }

    /// After the grace period.
    pub fn aged(&self, id: ObjectId) -> ObjectId {
        if self.get(id).restored != Restored::Recently {
            return id;
        }
        self.changed(id, |object| object.restored = Restored::LongAgo)
    }
}
