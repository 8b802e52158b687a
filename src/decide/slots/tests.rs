use proptest::prelude::*;

use super::*;

fn take(slots: &mut Slots, namespace: &str, now: Duration) -> bool {
    slots.take([namespace], now).is_some()
}

/// How many slots a namespace can take.
fn take_all(slots: &mut Slots, namespace: &str) -> usize {
    (0..100).take_while(|_| take(slots, namespace, Duration::ZERO)).count()
}

#[test]
fn a_namespace_takes_at_most_half_of_what_others_leave() {
    let mut slots = Slots::new(32);
    let taken: Vec<_> =
        ["a", "b", "c", "d", "e", "f", "g"].iter().map(|it| take_all(&mut slots, it)).collect();
    assert_eq!(taken, [16, 8, 4, 2, 1, 1, 0]);
    assert_eq!(take_all(&mut Slots::new(1), "a"), 1);
    assert_eq!(take_all(&mut Slots::new(3), "a"), 1);
}

#[test]
fn a_fan_out_takes_all_slots() {
    let mut slots = Slots::new(32);
    let namespaces: Vec<_> = (0..100).map(|number| format!("n-{number}")).collect();
    let taken = namespaces.iter().filter(|it| take(&mut slots, it, Duration::ZERO)).count();
    assert_eq!(taken, 32);
}

#[test]
fn a_namespace_is_congested_only_if_it_is_slow_and_has_no_slot_to_spare() {
    let (mut slots, begin) = (Slots::new(4), Duration::ZERO);
    let late = SLOW + Duration::from_millis(1);
    assert!(take(&mut slots, "a", begin));
    assert!(!slots.is_congested("a", late), "it may have another slot");
    assert!(take(&mut slots, "a", late));
    assert!(slots.is_congested("a", late) && !slots.is_congested("a", SLOW));
    slots.release("a", begin, late);
    assert!(take(&mut slots, "a", late));
    assert!(slots.is_congested("a", late), "its last write was slow");
    slots.release("a", late, late);
    assert!(take(&mut slots, "a", late));
    assert!(!slots.is_congested("a", late), "its last write was fast");
    assert!(!slots.is_congested("b", late));
}

/// Writes of many requests, one after the other as slots allow, in virtual time: a write in the
/// namespace `n` takes `n` seconds, and one in the namespace 0 no time.
struct Simulation {
    slots: Slots,
    now: Duration,
    /// End, namespace and start of each write in flight.
    writes: Vec<(Duration, String, Duration)>,
    /// The namespaces of each request that waits.
    waiting: BTreeMap<Ticket, Vec<String>>,
    held: BTreeMap<String, usize>,
    done: usize,
}

impl Simulation {
    fn request(&mut self, namespaces: &[u8]) {
        let names: Vec<_> = namespaces.iter().map(u8::to_string).collect();
        match self.slots.take(names.iter().map(String::as_str), self.now) {
            Some(namespace) => self.start(namespace),
            None => {
                self.waiting.insert(self.slots.request(names.clone()), names);
            }
        }
        self.grant();
    }

    fn start(&mut self, namespace: String) {
        let takes = Duration::from_secs(namespace.parse().unwrap());
        let held = self.held.entry(namespace.clone()).or_default();
        *held += 1;
        let left_by_others = self.slots.count() + *held - self.slots.in_use();
        assert!(*held <= (left_by_others / 2).max(1), "{held} of {left_by_others}");
        self.writes.push((self.now + takes, namespace, self.now));
    }

    /// Grants what can be granted. No older request could have been granted instead.
    fn grant(&mut self) {
        loop {
            let possible = |it: &Vec<String>| it.iter().any(|it| self.slots.has_room(it));
            let first = self.waiting.iter().find(|(_, it)| possible(it)).map(|(ticket, _)| *ticket);
            let granted = self.slots.grant(self.now);
            assert_eq!(granted.as_ref().map(|(ticket, _)| *ticket), first);
            let Some((ticket, namespace)) = granted else { return };
            assert!(self.waiting.remove(&ticket).unwrap().contains(&namespace));
            self.start(namespace);
        }
    }

    /// Lets the first write end. Returns whether there was one.
    fn step(&mut self) -> bool {
        let Some(index) = (0..self.writes.len()).min_by_key(|index| self.writes[*index].0) else {
            return false;
        };
        let (end, namespace, start) = self.writes.swap_remove(index);
        self.now = self.now.max(end);
        *self.held.get_mut(&namespace).unwrap() -= 1;
        self.slots.release(&namespace, start, self.now);
        self.done += 1;
        self.grant();
        true
    }

    /// What holds at any time.
    fn check(&self) {
        let (count, in_use) = (self.slots.count(), self.slots.in_use());
        assert_eq!(in_use, self.writes.len());
        assert_eq!(in_use, self.held.values().sum::<usize>());
        assert!(in_use <= count);
        // What waits cannot be granted: all slots are in use, or its namespaces hold their share.
        for namespaces in self.waiting.values() {
            assert!(namespaces.iter().all(|it| !self.slots.has_room(it)));
        }
    }
}

proptest! {
    #[test]
    fn every_request_is_granted_and_shares_are_kept(
        count in 1_usize..40,
        requests in prop::collection::vec(prop::collection::vec(0_u8..9, 1..4), 1..120),
        pauses in prop::collection::vec(0_usize..3, 120),
    ) {
        let mut simulation = Simulation {
            slots: Slots::new(count),
            now: Duration::ZERO,
            writes: Vec::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            done: 0,
        };
        for (namespaces, pause) in requests.iter().zip(pauses) {
            simulation.request(namespaces);
            simulation.check();
            for _ in 0..pause {
                simulation.step();
                simulation.check();
            }
        }
        while simulation.step() {
            simulation.check();
        }
        prop_assert_eq!(simulation.done, requests.len());
        prop_assert!(simulation.slots.requests.is_empty());
        prop_assert!(simulation.slots.requests_of.is_empty());
        prop_assert!(simulation.slots.holders.is_empty());
    }

    #[test]
    fn others_find_a_free_slot_while_slow_namespaces_want_all(
        slow in prop::collection::vec(1_usize..300, 1..6), others in 1_usize..5,
    ) {
        let mut slots = Slots::new(32);
        for (index, wanted) in slow.iter().enumerate() {
            let name = format!("slow-{index}");
            for _ in 0..*wanted {
                take(&mut slots, &name, Duration::ZERO);
            }
        }
        // As writes end, the shares become equal.
        for _ in 0..100 {
            for index in 0..slow.len() {
                let name = format!("slow-{index}");
                slots.release(&name, Duration::ZERO, Duration::ZERO);
                take(&mut slots, &name, Duration::ZERO);
            }
        }
        let free = 32 / (slow.len() + 1);
        for other in 0..others.min(free) {
            let is_free = take(&mut slots, &format!("other-{other}"), Duration::ZERO);
            prop_assert!(is_free);
        }
    }
}
