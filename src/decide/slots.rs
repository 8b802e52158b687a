//! Which work may be in progress (reconciles, writes of copies, Events): a limited number of each per
//! process, shared among namespaces.
//!
//! # The rule
//! A namespace may hold at most half of the slots that the other namespaces leave, and always one.
//!
//! So a single namespace holds at most half of all slots, and `n` namespaces that want as many as
//! they can get hold `1 / (n + 1)` of them each: the same share stays free for others. A fan-out
//! into many namespaces uses all slots, since it needs one in each. The rule does not depend on how
//! fast a namespace answers, so that it holds before a namespace is known to be slow.
//!
//! Among the requests that may be granted, the oldest is first.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;

/// A namespace in which work takes longer than this is slow.
pub const SLOW: Duration = Duration::from_secs(1);

/// A request for a slot. Older requests are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The slots, and the requests that wait for one. Times are durations since any fixed time.
#[derive(Debug)]
pub struct Slots {
    count: usize,
    in_use: usize,
    /// The namespaces that hold a slot.
    holders: HashMap<Box<str>, Holder>,
    /// The requests for a slot in one of several namespaces.
    requests: BTreeMap<Ticket, Vec<String>>,
    /// The requests for a slot in one namespace.
    requests_of: BTreeMap<String, BTreeSet<Ticket>>,
    next: u64,
}

/// A namespace that holds at least one slot.
#[derive(Debug, Default)]
struct Holder {
    /// When each of its slots was granted.
    since: Vec<Duration>,
    /// Whether its last work was slow.
    was_slow: bool,
}

// === impl Slots ===

impl Slots {
    /// `count` free slots; at least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            count: count.max(1),
            in_use: 0,
            holders: HashMap::new(),
            requests: BTreeMap::new(),
            requests_of: BTreeMap::new(),
            next: 0,
        }
    }

    /// The number of slots.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The number of slots in use.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Takes a slot in the first of `namespaces` that may have one, without waiting.
    pub fn take<'a>(
        &mut self,
        namespaces: impl IntoIterator<Item = &'a str>,
        now: Duration,
    ) -> Option<String> {
        if self.in_use >= self.count {
            return None;
        }
        // No older request is overtaken: one that could be granted would have been.
        let namespace = namespaces.into_iter().find(|namespace| self.has_room(namespace))?;
        self.hold(namespace, now);
        Some(namespace.to_owned())
    }

    /// Requests a slot in one of `namespaces`.
    pub fn request(&mut self, namespaces: Vec<String>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        match <[String; 1]>::try_from(namespaces) {
            Ok([namespace]) => {
                self.requests_of.entry(namespace).or_default().insert(ticket);
            }
            Err(namespaces) => {
                self.requests.insert(ticket, namespaces);
            }
        }
        ticket
    }

    /// Withdraws a request. One that was granted is not affected.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.requests.remove(&ticket);
        self.requests_of.retain(|_, tickets| {
            tickets.remove(&ticket);
            !tickets.is_empty()
        });
    }

    /// Withdraws all requests.
    pub fn cancel_all(&mut self) {
        self.requests.clear();
        self.requests_of.clear();
    }

    /// Grants the oldest request that may be granted: which one, and a slot in which namespace.
    /// Called after each change until there is none.
    pub fn grant(&mut self, now: Duration) -> Option<(Ticket, String)> {
        let of_one = self.requests_of.iter().filter(|(namespace, _)| self.has_room(namespace));
        let of_one = of_one.filter_map(|(namespace, tickets)| Some((*tickets.first()?, namespace)));
        let of_several = self.requests.iter().filter_map(|(ticket, namespaces)| {
            let namespace = namespaces.iter().find(|namespace| self.has_room(namespace))?;
            Some((*ticket, namespace))
        });
        let (ticket, namespace) = of_one.min().into_iter().chain(of_several.take(1)).min()?;
        let namespace = namespace.clone();
        self.cancel(ticket);
        self.hold(&namespace, now);
        Some((ticket, namespace))
    }

    /// Returns a slot of `namespace` that was granted at `since`.
    pub fn release(&mut self, namespace: &str, since: Duration, now: Duration) {
        let Some(holder) = self.holders.get_mut(namespace) else { return };
        let Some(index) = holder.since.iter().position(|it| *it == since) else { return };
        holder.since.swap_remove(index);
        holder.was_slow = now.saturating_sub(since) > SLOW;
        self.in_use -= 1;
        if holder.since.is_empty() {
            self.holders.remove(namespace);
        }
    }

    /// Whether `namespace` holds all the slots that it may hold at present, and is slow: waiting for
    /// one may take long.
    #[must_use]
    pub fn is_congested(&self, namespace: &str, now: Duration) -> bool {
        let is_slow = |holder: &Holder| {
            holder.was_slow || holder.since.iter().any(|since| now.saturating_sub(*since) > SLOW)
        };
        self.exceeds_share(namespace) && self.holders.get(namespace).is_some_and(is_slow)
    }

    /// Whether a slot is free, and `namespace` may have it.
    #[must_use]
    pub fn has_room(&self, namespace: &str) -> bool {
        self.in_use < self.count && !self.exceeds_share(namespace)
    }

    /// Whether one slot more would be more than the share of `namespace`.
    fn exceeds_share(&self, namespace: &str) -> bool {
        let held = self.holders.get(namespace).map_or(0, |holder| holder.since.len());
        let left_by_others = self.count - (self.in_use - held);
        held > 0 && held >= left_by_others / 2
    }

    fn hold(&mut self, namespace: &str, now: Duration) {
        self.holders.entry(namespace.into()).or_default().since.push(now);
        self.in_use += 1;
    }
}

#[cfg(test)]
mod tests;
