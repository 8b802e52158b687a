//! What a replica does after it has read the Lease: the view of the guard, and the request of the
//! crate.
//!
//! The guard is the operator's own code, tabulated for every input before the exploration. The
//! crate is modelled in four lines, which `crate_conformance` compares with the crate itself.

use std::collections::HashMap;
use std::time::Duration;

use configmapsync::election::lease_guard;
use configmapsync::election::lease_guard::Record;

use crate::config::Config;
use crate::config::Ticks;
use crate::state::Holder;
use crate::state::Lease;
use crate::state::Observation;
use crate::state::Operation;
use crate::state::Pod;

/// The Lease as shown to the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseView {
    /// It is missing.
    Missing,
    /// Its holder is the reader.
    Ours,
    /// Another process holds it, or none, and it may be acquired.
    Free,
    /// It may not be acquired.
    Held,
}

/// The Lease as a process reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// It is missing.
    Missing,
    /// Its holder has released it.
    Released,
    /// It has no holder, but was not released.
    Emptied,
    /// Its holder is the reader.
    Ours,
    /// Another process holds it.
    Other,
}

/// The view of the guard for every input.
#[derive(Clone, Debug)]
pub struct Guard(HashMap<(lease_guard::Role, Observation, Found), LeaseView>);

const OURS: &str = "ours";
const OTHER: &str = "other";

// === impl LeaseView ===

impl LeaseView {
    /// The request of the crate; `None` if it sends none.
    pub const fn operation(self, was_released: bool) -> Option<Operation> {
        match self {
            Self::Missing => Some(Operation::Create),
            Self::Ours => Some(Operation::Renew),
            Self::Free => Some(Operation::Acquire { was_released }),
            Self::Held => None,
        }
    }
}

// === impl Found ===

impl Found {
    /// What `pod` reads.
    pub fn by(pod: Pod, lease: Option<Lease>) -> Self {
        match lease {
            None => Self::Missing,
            Some(Lease { holder: Holder::None, is_released: true, .. }) => Self::Released,
            Some(Lease { holder: Holder::None, .. }) => Self::Emptied,
            Some(Lease { holder: Holder::Process(holder), .. }) if holder == pod => Self::Ours,
            Some(_) => Self::Other,
        }
    }

    fn record(self, config: &Config, renewed: &str) -> Option<Record> {
        let holder = match self {
            Self::Missing => return None,
            Self::Released | Self::Emptied => "",
            Self::Ours => OURS,
            Self::Other => OTHER,
        };
        let duration = if self == Self::Released { 1 } else { config.lease };
        Some(Record {
            uid: Some("one".to_owned()),
            holder: Some(holder.to_owned()),
            duration_seconds: Some(duration.into()),
            acquire_time: None,
            renew_time: Some(renewed.to_owned()),
            transitions: Some(1),
        })
    }
}

// === impl Guard ===

impl Guard {
    /// Tabulates the guard, with a second for a tick.
    pub fn new(config: &Config) -> Self {
        let ages = (0..=config.waits_for()).map(Observation::Unchanged);
        let observations: Vec<_> =
            ages.chain([Observation::Nothing, Observation::Previous]).collect();
        let found = [Found::Missing, Found::Released, Found::Emptied, Found::Ours, Found::Other];
        let mut table = HashMap::new();
        let roles =
            [lease_guard::Role::Candidate, lease_guard::Role::Successor, lease_guard::Role::Leader];
        for role in roles {
            for observation in &observations {
                for found in found {
                    table.insert(
                        (role, *observation, found),
                        view(config, role, *observation, found),
                    );
                }
            }
        }
        Self(table)
    }

    /// The view of what was `found`, for a process with this role and observation.
    pub fn view(
        &self,
        role: lease_guard::Role,
        observation: Observation,
        found: Found,
    ) -> LeaseView {
        self.0[&(role, observation, found)]
    }
}

fn view(
    config: &Config,
    role: lease_guard::Role,
    observation: Observation,
    found: Found,
) -> LeaseView {
    let later = Duration::from_hours(1);
    let record = found.record(config, "now");
    // The same duration on a fast clock.
    let measured = |age: Ticks| if age == 0 { 0 } else { age + config.environment.drift };
    let (before, now) = match observation {
        Observation::Nothing => (None, later),
        Observation::Previous => {
            let previous = Found::Other.record(config, "before");
            (Some(lease_guard::Observation::after(None, previous, Duration::ZERO)), later)
        }
        Observation::Unchanged(age) => {
            let first = lease_guard::Observation::after(None, record.clone(), later);
            (Some(first), later + Duration::from_secs(measured(age).into()))
        }
    };
    let observation = lease_guard::Observation::after(before, record, now);
    let ours = Duration::from_secs(config.lease.into());
    match observation.view(now, ours, role) {
        lease_guard::LeaseView::Missing => LeaseView::Missing,
        lease_guard::LeaseView::Lease { holder, .. } if holder == OURS => LeaseView::Ours,
        lease_guard::LeaseView::Lease { is_free: true, .. } => LeaseView::Free,
        lease_guard::LeaseView::Lease { .. } => LeaseView::Held,
    }
}
