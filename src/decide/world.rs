//! A small cluster in memory, for the properties of deciding.
//!
//! It keeps the API server's promises that deciding relies on: conditional writes, and a new
//! resourceVersion per change. Nothing else of it is real.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::SourceVersion;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::Marks;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired;
use crate::decide::desired::destinations;
use crate::decide::desired::source_name;
use crate::decide::observed::ContentSeen;
use crate::decide::observed::CopySeen;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::Occupant;
use crate::decide::observed::Place;
use crate::decide::observed::Source;
use crate::decide::observed::SourceSeen;
use crate::decide::observed::Standing;
use crate::decide::observed::SyncSeen;
use crate::decide::observed::Version;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::questions;
use crate::names;
use crate::names::NamespacedName;

pub const SYNC_UID: &str = "00000000-sync";

/// A `ConfigMap` in the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub version: Version,
    pub content: Content,
    pub marks: Option<Marks>,
    pub managed_by_us: bool,
    /// Whether somebody else may have written it since we did.
    pub touched: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub config_maps: BTreeMap<NamespacedName, Stored>,
    pub namespaces: BTreeMap<String, NamespaceState>,
    pub living: BTreeMap<String, NamespacedName>,
    pub spec: ConfigMapSyncSpec,
    pub deleting: bool,
    pub finalizer: bool,
    pub clock: u64,
}

pub fn sync_name() -> NamespacedName {
    NamespacedName::new("team", "sync")
}

// === impl World ===

impl World {
    pub fn new(spec: ConfigMapSyncSpec) -> Self {
        Self {
            config_maps: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            living: BTreeMap::from([(SYNC_UID.to_owned(), sync_name())]),
            spec,
            deleting: false,
            finalizer: false,
            clock: 1,
        }
    }

    pub fn put(&mut self, at: &NamespacedName, content: Content, marks: Option<Marks>) {
        let version = self.next_version();
        let touched = true;
        let stored = Stored { version, content, marks, managed_by_us: false, touched };
        self.config_maps.insert(at.clone(), stored);
    }

    /// Looks until nothing has to be read.
    pub fn observe(&self) -> Observed {
        let mut observed = self.glance();
        for _ in 0..3 {
            let questions = questions(&observed);
            if questions.is_empty() {
                return observed;
            }
            if questions.source {
                self.read_source(&mut observed);
            }
            for at in questions.copies {
                self.read_copy(&mut observed, &at);
            }
        }
        panic!("questions do not end: {:?}", questions(&observed));
    }

    pub fn plan(&self) -> Plan {
        let observed = self.observe();
        plan(&observed, &desired(&observed))
    }

    /// Carries out the first `steps` of `plan`, as far as the world is still as it was seen.
    pub fn act(&mut self, plan: &Plan, steps: usize) {
        let mut left = steps;
        if plan.finalizer != FinalizerStep::Keep {
            if left == 0 {
                return;
            }
            left -= 1;
            self.finalizer = plan.finalizer == FinalizerStep::Add;
        }
        for (at, action) in plan.steps.iter().filter(|(_, action)| action.is_write()).take(left) {
            self.write(at, action);
        }
    }

    fn write(&mut self, at: &NamespacedName, action: &Action) {
        match action {
            Action::Create { marks, content } => {
                assert!(!self.config_maps.contains_key(at), "POST onto {at}");
                self.create(at, marks, content);
            }
            Action::Update { seen, was, marks, content } => {
                self.check(at, seen);
                assert!(!self.config_maps[at].content.immutable, "immutable {at} changed");
                self.stamp(at, was, marks);
                self.change(at, |stored| stored.content = (**content).clone());
            }
            Action::Restamp { seen, was, marks } => {
                self.check(at, seen);
                self.stamp(at, was, marks);
            }
            Action::Replace { seen, marks, content } => {
                self.check(at, seen);
                self.config_maps.remove(at);
                self.create(at, marks, content);
            }
            Action::Release { seen, .. } => {
                self.check(at, seen);
                self.change(at, |stored| {
                    stored.marks = None;
                    stored.managed_by_us = false;
                });
            }
            Action::Delete { seen } => {
                self.check(at, seen);
                let gone = self.config_maps.remove(at).unwrap();
                assert!(gone.marks.unwrap().created, "{at} was not created by us");
            }
            Action::Keep | Action::Leave(_) => unreachable!("not a write"),
        }
    }

    fn create(&mut self, at: &NamespacedName, marks: &Marks, content: &Arc<Content>) {
        let version = self.next_version();
        let stored = Stored {
            version,
            content: (**content).clone(),
            marks: Some(marks.clone()),
            managed_by_us: true,
            touched: false,
        };
        self.config_maps.insert(at.clone(), stored);
    }

    fn stamp(&mut self, at: &NamespacedName, was: &Marks, marks: &Marks) {
        let created = was.created;
        self.change(at, |stored| {
            stored.marks = Some(Marks { created, ..marks.clone() });
        });
    }

    fn change(&mut self, at: &NamespacedName, change: impl FnOnce(&mut Stored)) {
        let Version { resource_version, .. } = self.next_version();
        let stored = self.config_maps.get_mut(at).unwrap();
        change(stored);
        stored.version.resource_version = resource_version;
    }

    fn check(&self, at: &NamespacedName, seen: &Version) {
        assert_eq!(&self.config_maps[at].version, seen, "decided on another version of {at}");
    }

    fn next_version(&mut self) -> Version {
        self.clock += 1;
        Version { uid: format!("u{}", self.clock), resource_version: self.clock.to_string() }
    }

    fn glance(&self) -> Observed {
        let spec = Ok(self.spec.clone());
        let mut names: Vec<_> = destinations(&spec).unwrap_or_default().into_iter().collect();
        names.extend(self.config_maps.iter().filter(is_marked).map(|(at, _)| at.clone()));
        let places = names.into_iter().map(|at| (at.clone(), self.place(&at))).collect();
        Observed {
            sync: SyncSeen {
                name: sync_name(),
                version: Version { uid: SYNC_UID.into(), resource_version: "1".into() },
                generation: Some(1),
                deleting: self.deleting,
                finalizers: self
                    .finalizer
                    .then(|| names::FINALIZER.to_owned())
                    .into_iter()
                    .collect(),
                spec,
                status: ConfigMapSyncStatus::default(),
            },
            source: self.source(),
            places,
        }
    }

    fn source(&self) -> SourceSeen {
        let Some(stored) = self.config_maps.get(&source_name(&self.spec)) else {
            return SourceSeen::Absent;
        };
        SourceSeen::Present(Source {
            version: SourceVersion {
                uid: stored.version.uid.clone(),
                resource_version: stored.version.resource_version.clone(),
            },
            refused: false,
            is_copy: false,
            content: ContentSeen::Unread,
        })
    }

    fn place(&self, at: &NamespacedName) -> Place {
        let standing = match self.config_maps.get(at) {
            None => Standing::Vacant,
            Some(stored) => Standing::Occupied(Box::new(Occupant {
                version: stored.version.clone(),
                deleting: false,
                marks: stored.marks.clone(),
                managed_by_us: stored.managed_by_us,
                owner: stored
                    .marks
                    .as_ref()
                    .and_then(|marks| self.living.get(&marks.sync_uid).cloned()),
                content: if stored.touched {
                    CopySeen::Suspect
                } else {
                    let immutable = stored.content.immutable;
                    CopySeen::Untouched { keys: stored.content.keys(), immutable }
                },
            })),
        };
        let namespace =
            self.namespaces.get(&at.namespace).copied().unwrap_or(NamespaceState::Active);
        Place { namespace, standing, held: None }
    }

    fn read_source(&self, observed: &mut Observed) {
        let stored = &self.config_maps[&source_name(&self.spec)];
        if let SourceSeen::Present(source) = &mut observed.source {
            source.content = ContentSeen::Read(Arc::new(stored.content.clone()));
        }
    }

    fn read_copy(&self, observed: &mut Observed, at: &NamespacedName) {
        let digest = self.config_maps[at].content.digest();
        if let Standing::Occupied(occupant) = &mut observed.places.get_mut(at).unwrap().standing {
            occupant.content = CopySeen::Read(digest);
        }
    }
}

fn is_marked((_, stored): &(&NamespacedName, &Stored)) -> bool {
    stored.marks.as_ref().is_some_and(|marks| marks.sync_uid == SYNC_UID)
}
