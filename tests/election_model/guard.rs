//! What a replica does when it has looked at the Lease: what the guard shows, and what the crate
//! does with what it is shown.
//!
//! The guard is the operator's own, asked about everything that can be asked before the exploration
//! begins. The crate is told in four lines; `told` holds them against the crate itself.

use std::collections::HashMap;
use std::time::Duration;

use configmapsync::election::lease_guard;
use configmapsync::election::lease_guard::Record;

use crate::rules::Rules;
use crate::rules::Ticks;
use crate::world::Ask;
use crate::world::Holder;
use crate::world::Lease;
use crate::world::Pod;
use crate::world::Seen;

/// What the crate sees of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// There is none.
    Absent,
    /// It is ours.
    Ours,
    /// It is not ours, and free.
    Free,
    /// It is not ours, and not free.
    Held,
}

/// The Lease as one process finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// There is none.
    Absent,
    /// It was given back.
    Released,
    /// It has no holder, and nobody gave it back.
    Emptied,
    /// It is its own.
    Ours,
    /// It is somebody else's.
    Others,
}

/// What the guard says to all that can be found.
#[derive(Clone, Debug)]
pub struct Guard(HashMap<(bool, Seen, Found), Shown>);

const OURS: &str = "we";
const OTHERS: &str = "somebody else";

// === impl Shown ===

impl Shown {
    /// What the crate asks for: it creates, renews, acquires, or leaves it.
    pub const fn ask(self, was_released: bool) -> Option<Ask> {
        match self {
            Self::Absent => Some(Ask::Create),
            Self::Ours => Some(Ask::Renew),
            Self::Free => Some(Ask::Acquire { was_released }),
            Self::Held => None,
        }
    }
}

// === impl Found ===

impl Found {
    /// What `pod` finds.
    pub fn by(pod: Pod, lease: Option<Lease>) -> Self {
        match lease {
            None => Self::Absent,
            Some(Lease { holder: Holder::Nobody, is_released: true, .. }) => Self::Released,
            Some(Lease { holder: Holder::Nobody, .. }) => Self::Emptied,
            Some(Lease { holder: Holder::Process(holder), .. }) if holder == pod => Self::Ours,
            Some(_) => Self::Others,
        }
    }

    fn record(self, rules: &Rules, renewed: &str) -> Option<Record> {
        let holder = match self {
            Self::Absent => return None,
            Self::Released | Self::Emptied => "",
            Self::Ours => OURS,
            Self::Others => OTHERS,
        };
        let duration = if self == Self::Released { 1 } else { rules.lease };
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
    /// Asks the guard about everything, with a second for a tick.
    pub fn new(rules: &Rules) -> Self {
        let ages = (0..=rules.waits_for()).map(Seen::Same);
        let seen: Vec<_> = ages.chain([Seen::Nothing, Seen::Former]).collect();
        let found = [Found::Absent, Found::Released, Found::Emptied, Found::Ours, Found::Others];
        let mut table = HashMap::new();
        for leads in [false, true] {
            for seen in &seen {
                for found in found {
                    table.insert((leads, *seen, found), show(rules, leads, *seen, found));
                }
            }
        }
        Self(table)
    }

    /// What it shows of what was `found`, to a leader or a standby that has `seen` so much.
    pub fn show(&self, leads: bool, seen: Seen, found: Found) -> Shown {
        self.0[&(leads, seen, found)]
    }
}

fn show(rules: &Rules, leads: bool, seen: Seen, found: Found) -> Shown {
    let long_ago = Duration::from_hours(1);
    let record = found.record(rules, "now");
    // What our clock says of so much time, where it is fast.
    let measured = |age: Ticks| if age == 0 { 0 } else { age + rules.world.drift };
    let (before, now) = match seen {
        Seen::Nothing => (None, long_ago),
        Seen::Former => {
            let former = Found::Others.record(rules, "before");
            (Some(lease_guard::Observation::after(None, former, Duration::ZERO)), long_ago)
        }
        Seen::Same(age) => {
            let since = lease_guard::Observation::after(None, record.clone(), long_ago);
            (Some(since), long_ago + Duration::from_secs(measured(age).into()))
        }
    };
    let seen = lease_guard::Observation::after(before, record, now);
    let ours = Duration::from_secs(rules.lease.into());
    let role = if leads { lease_guard::Role::Leader } else { lease_guard::Role::Candidate };
    match seen.view(now, ours, role) {
        lease_guard::LeaseView::Missing => Shown::Absent,
        lease_guard::LeaseView::Lease { holder, .. } if holder == OURS => Shown::Ours,
        lease_guard::LeaseView::Lease { is_free: true, .. } => Shown::Free,
        lease_guard::LeaseView::Lease { .. } => Shown::Held,
    }
}
