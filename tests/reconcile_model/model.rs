//! The operator, the API server and users as a transition system.

use std::sync::Arc;

use stateright::Model;
use stateright::Property;

use crate::config::Config;
use crate::contention::Memory;
use crate::decisions::Decisions;
use crate::names::NAMESPACES;
use crate::names::Namespace;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::reach::EXPECTED;
use crate::settle;
use crate::settle::Settled;
use crate::state::ManyOrphans;
use crate::state::Phase;
use crate::state::SeenObject;
use crate::state::SeenSource;
use crate::state::Slot;
use crate::state::Source;
use crate::state::State;
use crate::state::StoredNamespace;
use crate::state::StoredSync;
use crate::state::View;
use crate::state::WRITERS;
use crate::state::World;
use crate::state::Writer;
use crate::users::Act;

/// Nothing happens that must not.
pub const SAFE: &str = "safe";
/// From every state, without further actions of users, the operator reaches an empty plan, and what
/// the specs demand.
pub const SETTLES: &str = "settles";

/// A model.
#[derive(Clone)]
pub struct ReconcileModel {
    /// What may happen.
    pub config: Arc<Config>,
    /// What the operator decides.
    pub decisions: Arc<Decisions>,
    /// The states that settle.
    pub settled: Arc<Settled>,
    properties: &'static [&'static str],
}

/// A step. A step that is possible may be taken at any time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A user does something.
    User(Act),
    /// The namespace controller deletes what is in a terminating namespace, and the namespace.
    FinishNamespace(Namespace),
    /// The watch of syncs delivers everything.
    ObserveSync(Sync),
    /// The watch of `ConfigMaps` delivers everything.
    ObserveConfigMaps,
    /// The watch of namespaces delivers everything.
    ObserveNamespaces,
    /// One pass of a reconcile.
    Reconcile(Sync),
    /// Orphan collection.
    Collect,
    /// A write in flight arrives.
    Store(Writer, Slot),
    /// A write in flight of a crashed leader arrives.
    StoreLate(Place),
    /// The leader crashes: its writes in flight are lost or late. The next one lists everything,
    /// except the given namespace.
    Crash(Option<Namespace>),
    /// A minute passes.
    Minute,
    /// The grace period passes.
    Grace,
}

// === impl ReconcileModel ===

impl ReconcileModel {
    /// A model with this configuration, of which these properties are checked.
    pub fn new(config: Config, properties: &'static [&'static str]) -> Self {
        let decisions = Arc::new(Decisions::new(&config));
        let (config, settled) = (Arc::new(config), Arc::default());
        Self { config, decisions, settled, properties }
    }

    /// The state after a step; `None` if the step is impossible or changes nothing.
    pub fn after(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        match step {
            Step::User(act) => {
                next.actions = next.actions.checked_sub(1)?;
                self.act(&mut next, act);
                // Only what changed something counts.
                if (State { actions: state.actions, ..next }) == *state {
                    return None;
                }
            }
            Step::FinishNamespace(namespace) => Self::finish_namespace(&mut next, namespace),
            Step::ObserveSync(sync) => self.observe_sync(&mut next, sync),
            Step::ObserveConfigMaps => self.observe_config_maps(&mut next),
            Step::ObserveNamespaces => next.view.namespaces = next.world.namespaces,
            Step::Reconcile(sync) => self.reconcile(&mut next, sync),
            Step::Collect => self.collect(&mut next),
            Step::Store(writer, slot) => self.store_write(&mut next, writer, slot),
            Step::StoreLate(place) => self.store_late(&mut next, place),
            Step::Crash(unlisted) => {
                next.faults = next.faults.checked_sub(1)?;
                self.restart(&mut next);
                if let Some(namespace) = unlisted {
                    next.view.namespaces[namespace].phase = Phase::Missing;
                }
            }
            Step::Minute => Self::minute_passes(&mut next),
            Step::Grace => self.grace_passes(&mut next),
        }
        if !self.config.lags {
            self.observe_everything(&mut next);
        }
        (next != *state).then_some(next)
    }

    /// The watches deliver everything.
    pub fn observe_everything(&self, state: &mut State) {
        for sync in 0..SYNCS {
            self.observe_sync(state, sync);
        }
        self.observe_config_maps(state);
        // A partial list stays partial until the watch delivers the namespace.
        if self.config.lags || !self.config.lists_partially {
            state.view.namespaces = state.world.namespaces;
        }
    }

    fn initial(&self) -> State {
        let namespace =
            StoredNamespace { phase: Phase::Active, is_labelled: true, is_protected: false };
        let first =
            self.config.syncs[0].filter(|_| self.config.starts_settled).map(StoredSync::new);
        let mut syncs = [None; SYNCS];
        syncs[0] = first;
        let source = Source::Existing { content: 0, forbids: false };
        let world =
            World { syncs, source, objects: [None; PLACES], namespaces: [namespace; NAMESPACES] };
        let seen = SeenObject { is_current: true, is_same_object: true, ..SeenObject::default() };
        let view = View {
            syncs: [None; SYNCS],
            source: SeenSource { source, is_read: false },
            objects: [seen; PLACES],
            many_orphans: ManyOrphans::None,
            namespaces: world.namespaces,
            recently_deleted: [false; SYNCS],
        };
        let mut state = State {
            world,
            view,
            flight: [[None; PLACES + 1]; WRITERS],
            late: [None; PLACES],
            backup: [None; PLACES],
            memory: self.config.counts_changes.then(Memory::default),
            actions: self.config.actions,
            faults: self.config.faults,
            violation: None,
        };
        settle::run(self, &mut state);
        state
    }
}

impl Model for ReconcileModel {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.violation.is_some() {
            return;
        }
        for writer in 0..WRITERS {
            for slot in 0..=PLACES {
                if state.flight[writer][slot].is_some() {
                    steps.push(Step::Store(writer, slot));
                }
            }
        }
        steps.extend((0..PLACES).filter(|it| state.late[*it].is_some()).map(Step::StoreLate));
        for sync in 0..SYNCS {
            if state.view.syncs[sync].is_some() {
                steps.push(Step::Reconcile(sync));
            }
            if self.config.lags {
                steps.push(Step::ObserveSync(sync));
            }
        }
        if self.config.lags {
            steps.push(Step::ObserveConfigMaps);
        }
        if state.view.namespaces != state.world.namespaces {
            steps.push(Step::ObserveNamespaces);
        }
        for namespace in 0..NAMESPACES {
            if state.world.namespaces[namespace].phase == Phase::Terminating {
                steps.push(Step::FinishNamespace(namespace));
            }
        }
        if self.has_orphans(state) {
            steps.extend([Step::Collect, Step::Grace]);
        }
        let is_late = state.late.iter().any(Option::is_some);
        if state.view.recently_deleted.contains(&true) || is_late {
            steps.push(Step::Minute);
        }
        if state.faults > 0 {
            steps.push(Step::Crash(None));
            if self.config.lists_partially {
                steps.extend((0..NAMESPACES).map(|it| Step::Crash(Some(it))));
            }
        }
        if state.actions > 0 {
            self.acts(state, |act| steps.push(Step::User(act)));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.after(state, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let invariants = [
            Property::always(SAFE, |_, state: &State| state.violation.is_none()),
            Property::always(SETTLES, |model: &Self, state: &State| {
                state.violation.is_some() || settle::complaint(model, state).is_none()
            }),
        ];
        let reached = EXPECTED.map(|(name, is_reached)| Property::sometimes(name, is_reached));
        let all = invariants.into_iter().chain(reached);
        all.filter(|property| self.properties.contains(&property.name)).collect()
    }
}
