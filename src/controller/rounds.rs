//! Rounds: one per sync at a time, and no more than so many at a time.
//!
//! kube's scheduler merges repeated requests and keeps the delayed ones. Its controller would do
//! the rest, but wants every sync unpacked in memory: this hands out names, and a round looks up
//! what it needs.

use std::collections::HashSet;
use std::future::Future;

use futures::Stream;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::runtime::scheduler;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::queue::Request;

/// Rounds under way at a time. Writes are bounded separately, and much tighter.
const CONCURRENT_ROUNDS: usize = 64;

/// Runs `round` for each request, until there are no more requests and the rounds under way have
/// ended. A request that comes while its sync has a round under way leads to another one.
pub async fn run<Round: Future<Output = ()>>(
    requests: impl Stream<Item = Request>,
    round: impl Fn(NamespacedName) -> Round,
) {
    let mut scheduler = std::pin::pin!(scheduler(requests));
    let mut under_way = HashSet::new();
    let mut rounds = FuturesUnordered::new();
    loop {
        let has_room = under_way.len() < CONCURRENT_ROUNDS;
        let next = async {
            if has_room {
                scheduler.as_mut().hold_unless(|sync| !under_way.contains(sync)).next().await
            } else {
                scheduler.as_mut().hold().next().await
            }
        };
        tokio::select! {
            Some(ended) = rounds.next() => {
                under_way.remove(&ended);
            }
            next = next => {
                let Some(sync) = next else { break };
                under_way.insert(sync.clone());
                let running = round(sync.clone());
                rounds.push(async {
                    running.await;
                    sync
                });
            }
        }
    }
    while rounds.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use futures::channel::mpsc;
    use futures::channel::mpsc::UnboundedSender;
    use tokio::time::Instant;

    use super::*;

    fn name(name: &str) -> NamespacedName {
        NamespacedName::new("team", name)
    }

    fn ask(requests: &UnboundedSender<Request>, sync: NamespacedName) {
        requests.unbounded_send(Request { message: sync, run_at: Instant::now() }).unwrap();
    }

    /// Long enough for the scheduler to have handed out what it has.
    async fn a_while() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    #[tokio::test]
    async fn a_sync_has_one_round_at_a_time_and_another_for_what_came_meanwhile() {
        let (sender, requests) = mpsc::unbounded();
        ask(&sender, name("a"));
        let (under_way, rounds) = (Cell::new(0), Cell::new(0));
        run(requests, |_| async {
            rounds.set(rounds.get() + 1);
            assert_eq!(under_way.replace(1), 0);
            if rounds.get() == 1 {
                ask(&sender, name("a"));
                ask(&sender, name("a"));
            }
            a_while().await;
            under_way.set(0);
            if rounds.get() == 2 {
                sender.close_channel();
            }
        })
        .await;
        assert_eq!(rounds.get(), 2);
    }

    #[tokio::test]
    async fn no_more_than_so_many_rounds_are_under_way_and_each_sync_gets_its_own() {
        const SYNCS: usize = 1_000;
        let (sender, requests) = mpsc::unbounded();
        for index in 0..SYNCS {
            ask(&sender, name(&index.to_string()));
        }
        let (under_way, most) = (Cell::new(0), Cell::new(0));
        let rounds = RefCell::new(BTreeMap::<_, usize>::new());
        run(requests, |sync| {
            let (under_way, most, rounds, sender) = (&under_way, &most, &rounds, &sender);
            async move {
                under_way.set(under_way.get() + 1);
                most.set(most.get().max(under_way.get()));
                a_while().await;
                under_way.set(under_way.get() - 1);
                *rounds.borrow_mut().entry(sync).or_default() += 1;
                if rounds.borrow().len() == SYNCS {
                    sender.close_channel();
                }
            }
        })
        .await;
        assert_eq!(most.get(), CONCURRENT_ROUNDS);
        assert!(rounds.into_inner().values().all(|count| *count == 1));
    }

    #[tokio::test]
    async fn rounds_under_way_end_before_it_does_and_no_other_begins() {
        let (sender, requests) = mpsc::unbounded();
        ask(&sender, name("a"));
        let later = Instant::now() + Duration::from_hours(1);
        sender.unbounded_send(Request { message: name("b"), run_at: later }).unwrap();
        let ended = RefCell::new(Vec::new());
        run(requests, |sync| {
            let (ended, sender) = (&ended, &sender);
            async move {
                sender.close_channel();
                a_while().await;
                ended.borrow_mut().push(sync);
            }
        })
        .await;
        assert_eq!(ended.into_inner(), [name("a")]);
    }
}
