//! Whose turn it is: a limited number of syncs is reconciled at a time, shared among their namespaces.
//!
//! [`slots`](crate::decide::slots) has the rule. Namespaces with a free slot take turns, and the syncs
//! of one namespace have their turn in the order of their requests. A namespace whose reconciles are
//! slow therefore delays those of no other namespace.
//!
//! A sync with many destinations takes several slots, since its reconcile takes as much memory as those
//! of many others: otherwise the memory would grow with the number of namespaces, 64 times.
//!
//! A sync may be requested for a later time. Its requests are merged, and the earliest counts. Those made
//! while it is being reconciled are kept until that ends, and then begin at their time, or at once.
//!
//! Beginning takes constant time, however many syncs wait: at most as many namespaces as there are slots
//! have no room.

mod delays;

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::slots::Slots;
use crate::decide::turns::delays::Delays;

/// The syncs that are being reconciled, and those that wait. Times are durations since any fixed time.
#[derive(Debug)]
pub struct Turns {
    slots: Slots,
    running: HashMap<NamespacedName, Running>,
    waiting: HashSet<NamespacedName>,
    /// The syncs that wait, by namespace.
    by_namespace: HashMap<String, VecDeque<NamespacedName>>,
    /// The namespaces in which syncs wait, in the order of their turns.
    namespaces: VecDeque<String>,
    delays: Delays,
}

/// A sync that is being reconciled.
#[derive(Clone, Copy, Debug)]
struct Running {
    since: Duration,
    slots: usize,
    /// The time for which it was requested meanwhile.
    again: Option<Duration>,
}

/// The destinations for which a sync takes one slot more.
const DESTINATIONS_PER_SLOT: usize = 64;
/// A sync takes at most this fraction (1/n) of all slots, so that two of one namespace, and one of
/// another, can be reconciled at a time.
const LARGEST_FRACTION: usize = 4;
/// Capacity that empty tables keep after a burst.
const KEPT_CAPACITY: usize = 64;

// === impl Turns ===

impl Turns {
    /// At most `count` syncs are reconciled at a time; at least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            slots: Slots::new(count),
            running: HashMap::new(),
            waiting: HashSet::new(),
            by_namespace: HashMap::new(),
            namespaces: VecDeque::new(),
            delays: Delays::default(),
        }
    }

    /// Requests a reconcile of `sync` at the time `at`, or as soon after it as it may begin.
    pub fn request(&mut self, sync: NamespacedName, at: Duration, now: Duration) {
        if let Some(running) = self.running.get_mut(&sync) {
            running.again = Some(running.again.map_or(at, |earlier| earlier.min(at)));
        } else if at <= now {
            self.delays.withdraw(&sync);
            self.add(sync);
        } else if !self.waiting.contains(&sync) {
            self.delays.request(sync, at);
        }
    }

    /// The earliest time for which a sync is requested that does not wait for its turn yet.
    #[must_use]
    pub fn next_request(&self) -> Option<Duration> {
        self.delays.earliest()
    }

    /// Lets `sync` wait for its turn, unless it waits already.
    fn add(&mut self, sync: NamespacedName) {
        if !self.waiting.insert(sync.clone()) {
            return;
        }
        let queue = self.by_namespace.entry(sync.namespace.clone()).or_default();
        if queue.is_empty() {
            self.namespaces.push_back(sync.namespace.clone());
        }
        queue.push_back(sync);
    }

    /// The sync whose turn it is, if any. From now on it is running. `destinations` returns how many
    /// destinations a sync has: with many, it takes several of the free slots that its namespace may have.
    pub fn begin(
        &mut self,
        now: Duration,
        destinations: impl Fn(&NamespacedName) -> usize,
    ) -> Option<NamespacedName> {
        while let Some(sync) = self.delays.take_due(now) {
            self.add(sync);
        }
        if self.slots.in_use() == self.slots.count() {
            return None;
        }
        let turn = self.namespaces.iter().position(|it| self.slots.has_room(it))?;
        let namespace = self.namespaces.remove(turn)?;
        let queue = self.by_namespace.get_mut(&namespace)?;
        let sync = queue.pop_front()?;
        let most = (self.slots.count() / LARGEST_FRACTION).max(1);
        let wanted = (1 + destinations(&sync) / DESTINATIONS_PER_SLOT).min(most);
        let taken = (0..wanted).map_while(|_| self.slots.take([namespace.as_str()], now));
        let slots = taken.count();
        if queue.is_empty() {
            self.by_namespace.remove(&namespace);
        } else {
            self.namespaces.push_back(namespace);
        }
        self.waiting.remove(&sync);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT_CAPACITY);
            self.by_namespace.shrink_to(KEPT_CAPACITY);
            self.namespaces.shrink_to(KEPT_CAPACITY);
        }
        self.running.insert(sync.clone(), Running { since: now, slots, again: None });
        Some(sync)
    }

    /// `sync` is no longer running.
    pub fn end(&mut self, sync: &NamespacedName, now: Duration) {
        let Some(Running { since, slots, again }) = self.running.remove(sync) else { return };
        for _ in 0..slots {
            self.slots.release(&sync.namespace, since, now);
        }
        if let Some(at) = again {
            self.request(sync.clone(), at, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn sync(namespace: &str, number: usize) -> NamespacedName {
        NamespacedName::new(namespace, number.to_string())
    }

    fn begin_all(turns: &mut Turns) -> Vec<String> {
        begin_all_with(turns, 1)
    }

    /// Begins all that can begin if each sync has this many destinations.
    fn begin_all_with(turns: &mut Turns, destinations: usize) -> Vec<String> {
        std::iter::from_fn(|| turns.begin(NOW, |_| destinations))
            .map(|sync| sync.to_string())
            .collect()
    }

    #[test]
    fn few_syncs_with_many_destinations_run_at_a_time() {
        let mut turns = Turns::new(64);
        for number in 0..100 {
            turns.request(sync("wide", number), NOW, NOW);
        }
        assert_eq!(begin_all_with(&mut turns, 1_000), ["wide/0", "wide/1"]);
        turns.request(sync("narrow", 0), NOW, NOW);
        assert_eq!(begin_all(&mut turns), ["narrow/0"], "others have slots");
        turns.end(&sync("wide", 0), NOW);
        assert_eq!(begin_all_with(&mut turns, 1_000), ["wide/2"]);
        let narrow = begin_all(&mut turns);
        assert_eq!(narrow, [""; 0], "the share of the namespace is in use");
        for number in 1..3 {
            turns.end(&sync("wide", number), NOW);
        }
        assert_eq!(begin_all(&mut turns).len(), 31, "half of what the other one leaves");
    }

    #[test]
    fn namespaces_take_turns() {
        let mut turns = Turns::new(8);
        for (namespace, number) in [("a", 1), ("a", 2), ("a", 1), ("a", 3), ("b", 1), ("c", 1)] {
            turns.request(sync(namespace, number), NOW, NOW);
        }
        assert_eq!(begin_all(&mut turns), ["a/1", "b/1", "c/1", "a/2", "a/3"]);
    }

    #[test]
    fn a_namespace_that_holds_its_share_is_overtaken() {
        let mut turns = Turns::new(4);
        for number in 1..=4 {
            turns.request(sync("slow", number), NOW, NOW);
        }
        assert_eq!(begin_all(&mut turns), ["slow/1", "slow/2"]);
        turns.request(sync("other", 1), NOW, NOW);
        assert_eq!(begin_all(&mut turns), ["other/1"]);
        turns.end(&sync("slow", 2), NOW);
        assert_eq!(begin_all(&mut turns), [""; 0], "it leaves less to the slow one now");
        turns.end(&sync("other", 1), NOW);
        assert_eq!(begin_all(&mut turns), ["slow/3"]);
    }

    #[test]
    fn the_earliest_request_counts() {
        let mut turns = Turns::new(4);
        let at = Duration::from_secs;
        let begins = |turns: &mut Turns, now| turns.begin(at(now), |_| 1).is_some();
        for later in [9, 5, 7] {
            turns.request(sync("a", 1), at(later), NOW);
        }
        assert_eq!(turns.next_request(), Some(at(5)));
        assert!(!begins(&mut turns, 4) && begins(&mut turns, 5));
        assert_eq!(turns.next_request(), None, "the later ones were merged with it");
        turns.end(&sync("a", 1), at(5));
        turns.request(sync("a", 1), at(9), at(5));
        turns.request(sync("a", 1), at(5), at(5));
        turns.request(sync("a", 1), at(7), at(5));
        assert_eq!(turns.next_request(), None, "it waits for its turn already");
        assert!(begins(&mut turns, 5));
        turns.end(&sync("a", 1), at(5));
        assert!(!begins(&mut turns, 9));
    }

    #[test]
    fn requests_while_it_runs_count_from_its_end_on() {
        let mut turns = Turns::new(4);
        let at = Duration::from_secs;
        turns.request(sync("a", 1), NOW, NOW);
        assert_eq!(begin_all(&mut turns), ["a/1"]);
        for later in [3, 1, 2] {
            turns.request(sync("a", 1), at(later), NOW);
        }
        assert_eq!(turns.begin(at(4), |_| 1), None);
        turns.end(&sync("a", 1), at(4));
        assert_eq!(turns.begin(at(4), |_| 1), Some(sync("a", 1)));
        turns.request(sync("a", 1), at(9), at(4));
        turns.end(&sync("a", 1), at(5));
        assert_eq!((turns.begin(at(8), |_| 1), turns.next_request()), (None, Some(at(9))));
    }

    proptest! {
        #[test]
        fn every_sync_has_its_turn(
            count in 1_usize..9,
            added in prop::collection::vec((0_usize..4, 0_usize..9, 0_u64..3), 1..60),
            ends in prop::collection::vec(0_usize..3, 60),
            destinations in 0_usize..2_000,
        ) {
            let late = Duration::from_secs(2);
            let mut turns = Turns::new(count);
            let mut running = VecDeque::new();
            let (mut wanted, mut begun) = (BTreeSet::new(), BTreeSet::new());
            for ((namespace, number, at), ends) in added.into_iter().zip(ends) {
                let sync = sync(&namespace.to_string(), number);
                begun.remove(&sync);
                wanted.insert(sync.clone());
                turns.request(sync, Duration::from_secs(at), NOW);
                for _ in 0..ends {
                    if let Some(ended) = running.pop_front() {
                        turns.end(&ended, NOW);
                    }
                }
                while let Some(sync) = turns.begin(NOW, |_| destinations) {
                    prop_assert!(!running.contains(&sync), "{sync} twice at a time");
                    begun.insert(sync.clone());
                    running.push_back(sync);
                }
                prop_assert!(running.len() <= count);
            }
            loop {
                while let Some(sync) = turns.begin(late, |_| destinations) {
                    prop_assert!(!running.contains(&sync), "{sync} twice at a time");
                    begun.insert(sync.clone());
                    running.push_back(sync);
                }
                let Some(ended) = running.pop_front() else { break };
                turns.end(&ended, late);
            }
            prop_assert_eq!(begun, wanted);
            prop_assert!(turns.waiting.is_empty() && turns.by_namespace.is_empty());
            prop_assert!(turns.namespaces.is_empty() && turns.slots.in_use() == 0);
            prop_assert_eq!(turns.next_request(), None);
        }
    }
}
