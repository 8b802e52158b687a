//! The parameters of the model: what users do, what fails, and how often.

use configmapsync::decide::Observed;
use configmapsync::decide::observed::NamespaceState;
use configmapsync::names as keys;

use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::object::Object;
use crate::spec::Spec;

/// A world, and what may happen in it.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Debug)]
pub struct Config {
    /// The syncs that exist, or that users may create.
    pub syncs: [Option<Spec>; SYNCS],
    /// Whether the first sync exists at the start, and is settled.
    pub starts_settled: bool,
    /// How many actions of users may happen.
    pub actions: u8,
    /// How many crashes and partial lists may happen.
    pub faults: u8,
    /// What users do.
    pub users: Users,
    /// The places at which users act on `ConfigMaps`.
    pub places: &'static [Place],
    /// Whether the watches lag.
    pub lags: bool,
    /// Whether a namespace list may be partial after a crash.
    pub lists_partially: bool,
    /// Whether writes of a crashed leader may arrive later.
    pub writes_late: bool,
    /// Whether the operator counts the changes of copies by other clients.
    pub counts_changes: bool,
    /// A protection that is missing.
    pub fault: Option<Fault>,
}

/// What users do.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Copy, Debug)]
pub struct Users {
    /// They change every field of the spec.
    pub edit_specs: bool,
    /// They change `conflictPolicy`.
    pub edit_conflict_policy: bool,
    /// They create and delete syncs.
    pub delete_syncs: bool,
    /// They remove finalizers.
    pub remove_finalizers: bool,
    /// They change, delete, create and forbid the source.
    pub edit_source: bool,
    /// They change the content and the labels of `ConfigMaps`.
    pub edit_copies: bool,
    /// They delete `ConfigMaps`.
    pub delete_copies: bool,
    /// They create `ConfigMaps`.
    pub create_foreign: bool,
    /// They clone `ConfigMaps`, with all metadata.
    pub clone: bool,
    /// They restore copies from the backup.
    pub restore: bool,
    /// They restore many copies of other syncs.
    pub restore_many: bool,
    /// They remove one marker.
    pub remove_markers: bool,
    /// They add one marker.
    pub add_markers: bool,
    /// They label, delete and create namespaces.
    pub edit_namespaces: bool,
    /// They label namespaces.
    pub label_namespaces: bool,
    /// They change which namespaces are protected.
    pub protect_namespaces: bool,
}

/// A protection that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Writes are not conditional on the version that they were decided on.
    NoPreconditions,
    /// An adopted `ConfigMap` keeps the marker `created`.
    KeepsCreated,
    /// A copy counts as left behind by its deleted sync if managedFields name only the operator,
    /// however late it appears.
    TrustsManagedFields,
    /// A copy in an unknown namespace is treated like one in any other.
    IgnoresUnknownNamespaces,
    /// A copy in a protected namespace is treated like one in any other while its sync is being
    /// deleted.
    IgnoresProtection,
    /// It is not remembered that the operator itself has deleted or released a copy.
    ForgetsRetirements,
    /// What the last reconcile wanted is not remembered.
    ForgetsWanted,
}

// === impl Users ===

impl Users {
    /// They do nothing.
    pub const IDLE: Self = Self {
        edit_specs: false,
        edit_conflict_policy: false,
        delete_syncs: false,
        remove_finalizers: false,
        edit_source: false,
        edit_copies: false,
        delete_copies: false,
        create_foreign: false,
        clone: false,
        restore: false,
        restore_many: false,
        remove_markers: false,
        add_markers: false,
        edit_namespaces: false,
        label_namespaces: false,
        protect_namespaces: false,
    };
    /// They do everything.
    pub const ALL: Self = Self {
        edit_specs: true,
        edit_conflict_policy: true,
        delete_syncs: true,
        remove_finalizers: true,
        edit_source: true,
        edit_copies: true,
        delete_copies: true,
        create_foreign: true,
        clone: true,
        restore: true,
        restore_many: true,
        remove_markers: true,
        add_markers: true,
        edit_namespaces: true,
        label_namespaces: true,
        protect_namespaces: true,
    };
}

// === impl Config ===

impl Config {
    /// One settled sync with this spec, and no one else.
    pub const fn one(spec: Spec) -> Self {
        Self {
            syncs: [Some(spec), None],
            starts_settled: true,
            actions: 0,
            faults: 0,
            users: Users::IDLE,
            places: &ALL_PLACES,
            lags: false,
            lists_partially: false,
            writes_late: false,
            counts_changes: false,
            fault: None,
        }
    }

    /// The same, where the operator counts changes by other clients.
    pub const fn counting(spec: Spec) -> Self {
        Self { counts_changes: true, ..Self::one(spec) }
    }
}

const ALL_PLACES: [Place; PLACES] = [0, 1, 2, 3];

// === impl Fault ===

impl Fault {
    /// What the operator would decide on with this fault.
    pub fn observed(self, mut observed: Observed) -> Observed {
        let ignored = match self {
            Self::IgnoresUnknownNamespaces => NamespaceState::Missing,
            Self::IgnoresProtection if observed.sync.deleting => NamespaceState::Protected,
            _ => return observed,
        };
        for destination in observed.destinations.values_mut() {
            if destination.namespace == ignored {
                destination.namespace = NamespaceState::Active;
            }
        }
        observed
    }

    /// What an adoption of `seen` would result in with this fault.
    pub fn adopted(self, seen: &Object, adopted: &mut Object) {
        let key = keys::ANNOTATION_CREATED;
        if self == Self::KeepsCreated
            && let Some(created) = seen.annotations.get(key)
        {
            adopted.annotations.insert(key.to_owned(), created.clone());
        }
    }
}
