//! The names in the small world: two syncs, one source, two destination namespaces and two names of
//! copies.

use configmapsync::api::namespaced_name::NamespacedName;

/// The number of syncs.
pub const SYNCS: usize = 2;
/// The number of destination namespaces.
pub const NAMESPACES: usize = 2;
/// The number of places for copies.
pub const PLACES: usize = 4;
/// Namespace of the source.
pub const CENTRAL: &str = "central";
/// Name of the source, and of the copies unless `destinationName` is set.
pub const SOURCE_NAME: &str = "s";
/// The value of `destinationName`, if it is set.
pub const OTHER_NAME: &str = "t";

/// A sync, by its name: its object may be deleted and created again.
pub type Sync = usize;
/// A destination namespace.
pub type Namespace = usize;
/// A place for a copy: namespace and name.
pub type Place = usize;

/// The name of a sync.
pub fn sync_name(sync: Sync) -> NamespacedName {
    NamespacedName::new("team", ["a", "b"][sync])
}

/// The name of a namespace.
pub const fn namespace_name(namespace: Namespace) -> &'static str {
    ["m", "n"][namespace]
}

/// The place in a namespace, of the name `destinationName` or of the default name.
pub const fn place(namespace: Namespace, has_other_name: bool) -> Place {
    2 * namespace + has_other_name as usize
}

/// The namespace of a place.
pub const fn namespace_of(place: Place) -> Namespace {
    place / 2
}

/// Namespace and name of a place.
pub fn at(place: Place) -> NamespacedName {
    let name = [SOURCE_NAME, OTHER_NAME][place % 2];
    NamespacedName::new(namespace_name(namespace_of(place)), name)
}

/// The place with this namespace and name.
pub fn place_at(name: &NamespacedName) -> Option<Place> {
    (0..PLACES).find(|place| at(*place) == *name)
}

/// The source.
pub fn source() -> NamespacedName {
    NamespacedName::new(CENTRAL, SOURCE_NAME)
}

/// Which object of a sync's name has a uid. Uids are not counted: what matters is whether the
/// object exists, and what the operator knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It exists.
    Current,
    /// It does not exist any more; the operator has not observed that.
    Former,
    /// The operator has observed its deletion.
    SeenAlive,
    /// It does not exist, and this leader has never observed it.
    NeverSeen,
}

// === impl Life ===

impl Life {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Current, Self::Former, Self::SeenAlive, Self::NeverSeen];

    /// The uid of the object of `sync` in this stage.
    pub fn uid(self, sync: Sync) -> String {
        let life = match self {
            Self::Current => "current",
            Self::Former => "former",
            Self::SeenAlive => "seen-alive",
            Self::NeverSeen => "never-seen",
        };
        format!("{}-{life}", sync_name(sync).name)
    }

    /// The sync and the stage of a uid.
    pub fn parse(uid: &str) -> Option<(Sync, Self)> {
        (0..SYNCS)
            .flat_map(|sync| Self::ALL.map(|life| (sync, life)))
            .find(|(sync, life)| life.uid(*sync) == uid)
    }
}
