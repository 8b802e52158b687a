use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn grant_all(shares: &mut Shares) -> Vec<(String, u32)> {
    std::iter::from_fn(|| shares.grant()).map(|it| (it.namespace, it.amount)).collect()
}

/// How much is granted of many small requests of a namespace.
fn take_all(shares: &mut Shares, namespace: &str) -> usize {
    for _ in 0..100 {
        shares.request(namespace, 1);
    }
    let taken = grant_all(shares).len();
    shares.waiting.clear();
    shares.turns.clear();
    taken
}

#[test]
fn a_namespace_holds_at_most_half_of_what_others_leave() {
    let mut shares = Shares::new(64);
    let taken = ["a", "b", "c", "d", "e"].map(|it| take_all(&mut shares, it));
    assert_eq!(taken, [32, 16, 8, 4, 2]);
}

#[test]
fn large_requests_leave_memory_to_small_ones() {
    let mut shares = Shares::new(12);
    for namespace in ["a", "b", "c", "small"] {
        shares.request(namespace, if namespace == "small" { 1 } else { 1_000 });
    }
    let granted = [("a", 4), ("b", 4), ("small", 1)].map(|(it, amount)| (it.to_owned(), amount));
    assert_eq!(grant_all(&mut shares), granted);
}

#[test]
fn namespaces_take_turns() {
    let mut shares = Shares::new(12);
    for namespace in ["loud", "loud", "loud", "loud", "a", "b"] {
        shares.request(namespace, 2);
    }
    let names = |granted: Vec<(String, u32)>| granted.into_iter().map(|(name, _)| name).collect();
    let granted: Vec<_> = names(grant_all(&mut shares));
    assert_eq!(granted, ["loud", "a", "b", "loud"]);
    for _ in 0..2 {
        shares.request("b", 1);
    }
    shares.release("loud", 4);
    let granted: Vec<_> = names(grant_all(&mut shares));
    assert_eq!(granted[0], "loud", "it holds nothing, unlike b");
}

#[test]
fn namespaces_that_hold_something_do_not_keep_out_a_large_request() {
    let mut shares = Shares::new(12);
    for namespace in ["a", "a", "b", "b"] {
        shares.request(namespace, 2);
    }
    assert_eq!(grant_all(&mut shares).len(), 4);
    let large = shares.request("large", 4);
    shares.release("a", 2);
    shares.request("a", 1);
    assert_eq!(shares.grant(), None);
    shares.release("b", 2);
    assert_eq!(shares.grant().map(|it| it.ticket), Some(large));
}

#[test]
fn a_withdrawn_request_is_not_granted() {
    let mut shares = Shares::new(12);
    let first = shares.request("a", 4);
    let second = shares.request("a", 3);
    shares.cancel("a", first);
    assert_eq!(shares.grant().map(|it| it.ticket), Some(second));
    shares.cancel("a", second);
    assert_eq!((shares.in_use, shares.turns.len()), (3, 0));
}

proptest! {
    #[test]
    fn every_request_is_granted(
        total in 3_u32..40,
        requests in prop::collection::vec((0_usize..5, 0_u32..40, any::<bool>()), 1..60),
    ) {
        let mut shares = Shares::new(total);
        let mut held = VecDeque::new();
        let mut wanted = BTreeSet::new();
        for (namespace, amount, ends) in requests {
            wanted.insert(shares.request(&namespace.to_string(), amount).0);
            held.extend(std::iter::from_fn(|| shares.grant()));
            if ends && let Some(Grant { namespace, amount, ticket }) = held.pop_front() {
                wanted.remove(&ticket.0);
                shares.release(&namespace, amount);
                held.extend(std::iter::from_fn(|| shares.grant()));
            }
            prop_assert!(shares.in_use <= total);
        }
        while let Some(Grant { namespace, amount, ticket }) = held.pop_front() {
            wanted.remove(&ticket.0);
            shares.release(&namespace, amount);
            held.extend(std::iter::from_fn(|| shares.grant()));
        }
        prop_assert!(wanted.is_empty(), "{wanted:?}");
        prop_assert!(shares.turns.is_empty() && shares.held.is_empty() && shares.in_use == 0);
    }
}
