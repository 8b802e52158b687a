//! Who gets memory for what is large: there is a fixed amount, shared among namespaces.
//!
//! # The rule
//! A namespace may hold at most half of what the other namespaces leave. While a namespace that holds
//! nothing waits, those that hold something get nothing more. Namespaces take turns, and the requests
//! of one namespace are granted in their order.
//!
//! So a single namespace holds at most half, and `n` namespaces that want as much as they can get leave
//! the same share to others. At most a third is granted to a request: two such requests of different
//! namespaces are granted at a time, and leave a third to smaller ones.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::VecDeque;

/// A request for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// A granted request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The request.
    pub ticket: Ticket,
    /// Its namespace.
    pub namespace: String,
    /// How much it holds from now on.
    pub amount: u32,
}

/// What is held, and the requests that wait.
#[derive(Debug)]
pub struct Shares {
    total: u32,
    in_use: u32,
    /// How much each namespace holds that holds something.
    held: HashMap<Box<str>, u32>,
    waiting: HashMap<String, VecDeque<(Ticket, u32)>>,
    /// The namespaces with requests that wait, in the order of their turns.
    turns: VecDeque<String>,
    next: u64,
}

// === impl Shares ===

impl Shares {
    /// A `total` of which nothing is held; at least 3.
    #[must_use]
    pub fn new(total: u32) -> Self {
        Self {
            total: total.max(3),
            in_use: 0,
            held: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            next: 0,
        }
    }

    /// The most that a request is granted.
    #[must_use]
    pub const fn largest(&self) -> u32 {
        self.total / 3
    }

    /// Requests `amount`, or the most that is granted.
    pub fn request(&mut self, namespace: &str, amount: u32) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let request = (ticket, amount.min(self.largest()));
        if let Some(queue) = self.waiting.get_mut(namespace) {
            queue.push_back(request);
        } else {
            self.waiting.insert(namespace.to_owned(), [request].into());
            self.turns.push_back(namespace.to_owned());
        }
        ticket
    }

    /// Withdraws a request of `namespace`. One that was granted is not affected.
    pub fn cancel(&mut self, namespace: &str, ticket: Ticket) {
        let Some(queue) = self.waiting.get_mut(namespace) else { return };
        queue.retain(|(waiting, _)| *waiting != ticket);
        if queue.is_empty() {
            self.waiting.remove(namespace);
            self.turns.retain(|waiting| waiting != namespace);
        }
    }

    /// Grants the next request. Called after each change until there is none.
    pub fn grant(&mut self) -> Option<Grant> {
        let is_first_needed = self.turns.iter().any(|namespace| self.held_by(namespace) == 0);
        let may_have = |namespace: &String| {
            let held = self.held_by(namespace);
            let (_, amount) = self.waiting.get(namespace)?.front()?;
            let is_in_share = held + amount <= (self.total - (self.in_use - held)) / 2;
            (is_in_share && (held == 0 || !is_first_needed)).then_some(())
        };
        let turn = self.turns.iter().position(|namespace| may_have(namespace).is_some())?;
        let namespace = self.turns.remove(turn)?;
        let queue = self.waiting.get_mut(&namespace)?;
        let (ticket, amount) = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(namespace.clone());
        }
        self.in_use += amount;
        *self.held.entry(namespace.as_str().into()).or_default() += amount;
        Some(Grant { ticket, namespace, amount })
    }

    /// `amount` is no longer held by `namespace`.
    pub fn release(&mut self, namespace: &str, amount: u32) {
        let Some(held) = self.held.get_mut(namespace) else { return };
        let released = amount.min(*held);
        *held -= released;
        self.in_use -= released;
        if *held == 0 {
            self.held.remove(namespace);
        }
    }

    fn held_by(&self, namespace: &str) -> u32 {
        self.held.get(namespace).copied().unwrap_or_default()
    }
}
