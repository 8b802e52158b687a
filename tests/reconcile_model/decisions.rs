//! The decisions of the operator. Each input is decided once.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::Hash;

use configmapsync::api::ConfigMapSyncStatus;
use configmapsync::decide::Action;
use configmapsync::decide::Decision;
use configmapsync::decide::Desired;
use configmapsync::decide::Observed;
use configmapsync::decide::Plan;
use configmapsync::decide::contention::Purpose;
use configmapsync::decide::contention::Wanted;
use configmapsync::decide::contention::purpose;
use configmapsync::decide::observed::ObservedSync;
use configmapsync::decide::plan::FinalizerStep;
use configmapsync::decide::reason::Reason;
use configmapsync::decide::status;
use configmapsync::decide::status::Settled;
use configmapsync::decide::status::ready_reason;
use configmapsync::kubernetes::requests;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::collection::Collection;
use crate::collection::CollectionInput;
use crate::config::Config;
use crate::config::Fault;
use crate::contention::End;
use crate::contention::WritePurpose;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::at;
use crate::names::place_at;
use crate::object::Object;
use crate::object::Origin;
use crate::object::Restored;
use crate::oracle;
use crate::state::Kind;
use crate::state::Write;
use crate::store::Numbered;
use crate::store::ObjectId;
use crate::store::Store;
use crate::view::PassInput;

/// What one pass of a reconcile does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Live reads.
    Read {
        /// Of the source.
        source: bool,
        /// Of the `ConfigMaps` at these places.
        places: [bool; PLACES],
    },
    /// Writes.
    Write(Writes),
}

/// The writes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Of the finalizer.
    pub finalizer: Option<Kind>,
    /// Of copies.
    pub places: [Option<Write>; PLACES],
}

/// The decisions, by their input.
#[derive(Debug)]
pub struct Decisions {
    pub store: Store,
    pub fault: Option<Fault>,
    /// What copies were to be.
    pub wanted: Numbered<Wanted>,
    /// What was reported.
    counts_changes: bool,
    passes: Table<PassInput, Pass>,
    collections: Table<CollectionInput, Collection>,
    reports: Table<PassInput, bool>,
    ends: Table<PassInput, Option<End>>,
}

#[derive(Debug)]
struct Table<K, V>(RwLock<HashMap<K, V>>);

// === impl Table ===

impl<K: Copy + Eq + Hash, V: Copy> Table<K, V> {
    fn new() -> Self {
        Self(RwLock::default())
    }

    fn get(&self, key: K, decide: impl FnOnce() -> V) -> V {
        if let Some(known) = self.0.read().get(&key) {
            return *known;
        }
        let decided = decide();
        self.0.write().insert(key, decided);
        decided
    }
}

// === impl Decisions ===

impl Decisions {
    /// With this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            store: Store::default(),
            fault: config.fault,
            wanted: Numbered::new(),
            counts_changes: config.counts_changes,
            passes: Table::new(),
            collections: Table::new(),
            reports: Table::new(),
            ends: Table::new(),
        }
    }

    /// What a pass does.
    pub fn pass(&self, input: PassInput) -> Pass {
        self.passes.get(input, || self.decide(&input))
    }

    /// What orphan collection does.
    pub fn collection(&self, input: CollectionInput) -> Collection {
        self.collections.get(input, || input.decide(self))
    }

    /// Whether the status after a pass without writes reports `Synced`.
    pub fn reports_synced(&self, input: PassInput) -> bool {
        let is_synced = |status| is_synced(&status);
        self.reports.get(input, || self.status(&input).is_some_and(is_synced))
    }

    /// The end of a reconcile after a pass without writes; `None` if the sync is unknown.
    pub fn end(&self, input: PassInput) -> Option<End> {
        self.ends.get(input, || {
            let observed = self.observed(&input)?;
            let Decision { desired, plan, .. } = Decision::of(&observed);
            let is_hold = matches!(desired, Desired::Hold(_));
            let wanted = Wanted::of(&observed.sync, &plan).map(|wanted| self.wanted.id(wanted));
            Some(End::of(wanted, &plan, is_hold))
        })
    }

    /// The number of different inputs.
    pub fn count(&self) -> usize {
        self.passes.0.read().len() + self.collections.0.read().len()
    }

    fn status(&self, input: &PassInput) -> Option<ConfigMapSyncStatus> {
        let observed = self.observed(input)?;
        let Decision { desired, plan, .. } = Decision::of(&observed);
        let settled = Settled::of(plan);
        let now = Time(Timestamp::UNIX_EPOCH);
        Some(status(&observed, &desired, &settled, &now, None, None))
    }

    fn decide(&self, input: &PassInput) -> Pass {
        let Some(observed) = self.observed(input) else { return Pass::Write(Writes::default()) };
        let Decision { plan, reads, .. } = Decision::of(&observed);
        if !reads.is_empty() {
            let is_read = |place| reads.copies.contains(&at(place));
            return Pass::Read { source: reads.source, places: std::array::from_fn(is_read) };
        }
        Pass::Write(self.writes(input, &observed.sync, &plan))
    }

    /// What a pass decides on.
    pub fn observed(&self, input: &PassInput) -> Option<Observed> {
        let mut observed = input.observed(&self.store)?;
        let sync = input.view.syncs[input.sync]?.sync;
        observed.sync.generation = Some(1 + i64::from(sync.generation));
        Some(match self.fault {
            Some(fault) => fault.observed(observed),
            None => observed,
        })
    }

    fn writes(&self, input: &PassInput, sync: &ObservedSync, plan: &Plan) -> Writes {
        let finalizer = match plan.finalizer {
            FinalizerStep::Keep | FinalizerStep::Wait(_) => None,
            FinalizerStep::Add => Some(Kind::AddFinalizer),
            FinalizerStep::Remove => Some(Kind::RemoveFinalizer),
        };
        let steps: BTreeMap<Place, &Action> =
            plan.steps.iter().filter_map(|(at, action)| Some((place_at(at)?, action))).collect();
        let write = |place: Place| {
            let seen = input.view.objects[place].id;
            let action = steps.get(&place)?;
            let mut write = self.write(place, seen, action)?;
            write.purpose = self.counts_changes.then(|| self.purpose(sync, plan, action));
            write.harm = oracle::harm_of_reconcile(&self.store, input, place, write);
            Some(write)
        };
        Writes { finalizer, places: std::array::from_fn(write) }
    }

    fn purpose(&self, sync: &ObservedSync, plan: &Plan, action: &Action) -> WritePurpose {
        match purpose(sync, plan, action, None) {
            // Whether the same was wanted before is known when the write is sent.
            Purpose::Copy { wanted, was_wanted } => {
                WritePurpose::Copy { wanted: self.wanted.id(wanted), was_wanted }
            }
            Purpose::Retire => WritePurpose::Retire,
        }
    }

    /// The write that carries out `action` on the `ConfigMap` that was observed at `place`.
    pub fn write(&self, place: Place, seen: Option<ObjectId>, action: &Action) -> Option<Write> {
        let seen = seen.map(|id| self.store.get(id));
        let create = |copy| Some(Object::created(&decoded(&requests::new_copy(&at(place), copy))));
        let patch = |patch| seen.as_ref().map(|seen| seen.patched(&patch));
        let (kind, result) = match action {
            Action::Keep | Action::Leave(_) => return None,
            Action::Create(copy) => (Kind::Create, create(copy)),
            Action::Replace { copy, .. } => (Kind::Replace, create(copy)),
            Action::Update { seen, stamp, content } => {
                (Kind::Update, patch(decoded(&requests::update(seen, stamp, content))))
            }
            Action::Restamp { seen, stamp } => {
                (Kind::Restamp, patch(requests::restamp(seen, stamp)))
            }
            Action::Release { seen, stamp } => {
                (Kind::Release, patch(requests::restamp(seen, stamp)))
            }
            Action::Delete { .. } => (Kind::Delete, None),
        };
        let was_copy = seen.as_ref().is_some_and(|seen| seen.identity(place).is_some());
        let result = result.map(|mut result| {
            // A sync has taken it over.
            result.restored = Restored::No;
            match kind {
                Kind::Release => result.origin = Origin::User,
                Kind::Update | Kind::Restamp if !was_copy => {
                    result.origin = Origin::Adopted;
                    if let Some((fault, seen)) = self.fault.zip(seen.as_ref()) {
                        fault.adopted(seen, &mut result);
                    }
                }
                _ => {}
            }
            self.store.id(result)
        });
        Some(Write { kind, result, harm: None, purpose: None })
    }
}

fn is_synced(status: &ConfigMapSyncStatus) -> bool {
    ready_reason(status) == Some(Reason::Synced.as_str())
}

/// `body` as the API server decodes it.
fn decoded<T: DeserializeOwned>(body: &impl Serialize) -> T {
    let body = serde_json::to_value(body).expect("a body is JSON");
    serde_json::from_value(body).expect("the body of a request")
}
