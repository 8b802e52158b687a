use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::api::scope::Scope;
use crate::controller::startup::Stream;

fn name(name: &str) -> NamespacedName {
    NamespacedName::new("team", name)
}

fn one(_: &NamespacedName) -> usize {
    1
}

fn queue() -> (Queue, mpsc::UnboundedReceiver<Request>) {
    Queue::new(Arc::new(Startup::new(&Scope::Cluster)), Arc::new(Metrics::new(&[])))
}

fn request(requests: &mpsc::UnboundedSender<Request>, sync: NamespacedName) {
    requests.unbounded_send(Request { sync, at: Instant::now() }).unwrap();
}

/// Long enough for the queue to take the requests it has.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[test]
fn no_request_is_lost_while_another_waits() {
    let (queue, mut requests) = queue();
    queue.push(name("a"), &Trigger::Sync);
    queue.push(name("a"), &Trigger::Sync);
    assert!(requests.try_recv().is_ok());
    assert!(requests.try_recv().is_ok(), "the first reconcile may be about to begin");
}

#[test]
fn a_wake_before_startup_is_complete_is_ignored() {
    let startup = Arc::new(Startup::new(&Scope::Cluster));
    let metrics = Arc::new(Metrics::new(&[]));
    let (queue, mut requests) = Queue::new(Arc::clone(&startup), metrics);
    let affected = || panic!("determined before startup is complete");
    queue.wake(std::iter::once_with(affected), &Trigger::Sync);
    assert!(requests.try_recv().is_err());
    for stream in Stream::all(&Scope::Cluster) {
        startup.listed(&stream);
    }
    queue.wake([name("a")], &Trigger::Sync);
    assert!(requests.try_recv().is_ok());
}

#[test]
fn a_delayed_request_does_not_count_as_waiting() {
    let (queue, mut requests) = queue();
    queue.push_later(name("a"), Duration::from_hours(1));
    assert!(queue.waiting.lock().is_empty());
    let request = requests.try_recv().unwrap();
    assert_eq!(request.sync, name("a"));
    assert!(request.at > Instant::now() + Duration::from_mins(59));
}

#[test]
fn the_wait_is_measured_from_the_first_request() {
    let (queue, _requests) = queue();
    queue.push(name("a"), &Trigger::Sync);
    let first = queue.waiting.lock()[&name("a")].since;
    queue.push(name("a"), &Trigger::Namespace);
    assert_eq!(queue.waiting.lock()[&name("a")].since, first);
    let Waiting { trigger, .. } = queue.pop(&name("a"));
    assert!(matches!(trigger, Trigger::Sync), "{trigger:?}");
    assert!(queue.waiting.lock().is_empty());
}

#[test]
fn a_change_of_the_source_is_measured_whatever_came_first() {
    let (queue, _requests) = queue();
    queue.push(name("a"), &Trigger::Sync);
    queue.push(name("b"), &Trigger::Sync);
    queue.push(name("a"), &Trigger::Source);
    let changed = queue.waiting.lock()[&name("a")].source_changed;
    assert!(changed.is_some());
    queue.push(name("a"), &Trigger::Source);
    assert_eq!(queue.pop(&name("a")).source_changed, changed, "the first change counts");
    assert_eq!(queue.pop(&name("b")).source_changed, None);
}

#[test]
fn a_closed_queue_ends() {
    let (queue, mut requests) = queue();
    queue.close();
    queue.push(name("a"), &Trigger::Sync);
    assert_eq!(requests.try_recv().map(|_| ()), Err(mpsc::TryRecvError::Closed));
}

#[tokio::test]
async fn a_sync_has_one_reconcile_at_a_time() {
    let (sender, requests) = mpsc::unbounded();
    request(&sender, name("a"));
    let (running, reconciles) = (Cell::new(0), Cell::new(0));
    run(requests, &Health::new(&[]), one, |_| async {
        reconciles.set(reconciles.get() + 1);
        assert_eq!(running.replace(1), 0);
        if reconciles.get() == 1 {
            request(&sender, name("a"));
            request(&sender, name("a"));
        }
        pause().await;
        running.set(0);
        if reconciles.get() == 2 {
            sender.close_channel();
        }
    })
    .await;
    assert_eq!(reconciles.get(), 2, "one more for the requests made meanwhile");
}

#[tokio::test]
async fn a_reconcile_that_is_due_begins_at_once() {
    let ((queue, requests), health) = (queue(), Health::new(&[]));
    let delays = RefCell::new(Vec::new());
    let running = run(requests, &health, one, |sync| {
        delays.borrow_mut().push(queue.pop(&sync).since.elapsed());
        std::future::ready(())
    });
    let pushing = async {
        for _ in 0..50 {
            pause().await;
            queue.push(name("a"), &Trigger::Source);
        }
        pause().await;
        queue.close();
    };
    tokio::join!(running, pushing);
    let mut delays = delays.into_inner();
    delays.sort();
    assert!(delays[25] < Duration::from_millis(1), "{delays:?}");
}

#[tokio::test]
async fn a_delayed_reconcile_begins_at_its_time() {
    let ((queue, requests), health) = (queue(), Health::new(&[]));
    let (delay, began) = (Duration::from_millis(20), Instant::now());
    queue.push_later(name("a"), Duration::from_hours(1));
    queue.push_later(name("a"), delay);
    run(requests, &health, one, |_| {
        queue.close();
        std::future::ready(())
    })
    .await;
    let waited = began.elapsed();
    assert!(waited >= delay && waited < BEAT_PERIOD / 2, "{waited:?}");
}

#[tokio::test]
async fn a_delay_set_while_it_runs_counts_from_then_on() {
    let ((queue, requests), health) = (queue(), Health::new(&[]));
    queue.push(name("a"), &Trigger::Sync);
    let begun = RefCell::new(Vec::new());
    run(requests, &health, one, |sync| {
        let (queue, begun) = (&queue, &begun);
        async move {
            begun.borrow_mut().push(Instant::now());
            queue.push_later(sync, Duration::from_millis(40));
            pause().await;
            if begun.borrow().len() == 2 {
                queue.close();
            }
        }
    })
    .await;
    let begun = begun.into_inner();
    let between = begun[1] - begun[0];
    assert!(between >= Duration::from_millis(40) && between < BEAT_PERIOD / 2, "{between:?}");
}

#[tokio::test]
async fn requests_for_one_sync_are_merged_before_it_begins() {
    let ((queue, requests), health) = (queue(), Health::new(&[]));
    for _ in 0..3 {
        queue.push(name("a"), &Trigger::Copy);
    }
    let reconciles = Cell::new(0);
    let running = run(requests, &health, one, |_| {
        reconciles.set(reconciles.get() + 1);
        std::future::ready(())
    });
    let closing = async {
        pause().await;
        queue.close();
    };
    tokio::join!(running, closing);
    assert_eq!(reconciles.get(), 1);
}

#[tokio::test]
async fn no_reconcile_begins_once_the_queue_is_closed() {
    let ((queue, requests), health) = (queue(), Health::new(&[]));
    queue.push(name("a"), &Trigger::Copy);
    queue.close();
    run(requests, &health, one, |sync| async move { panic!("{sync} has begun") }).await;
}

#[tokio::test]
async fn concurrent_reconciles_are_bounded() {
    const SYNCS: usize = 1_000;
    let (sender, requests) = mpsc::unbounded();
    for index in 0..SYNCS {
        request(&sender, NamespacedName::new(format!("team-{index}"), "a"));
    }
    let (running, most) = (Cell::new(0), Cell::new(0));
    let reconciles = RefCell::new(BTreeMap::<_, usize>::new());
    run(requests, &Health::new(&[]), one, |sync| {
        let (running, most, reconciles, sender) = (&running, &most, &reconciles, &sender);
        async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            pause().await;
            running.set(running.get() - 1);
            *reconciles.borrow_mut().entry(sync).or_default() += 1;
            if reconciles.borrow().len() == SYNCS {
                sender.close_channel();
            }
        }
    })
    .await;
    assert_eq!(most.get(), CONCURRENT_RECONCILES);
    assert!(reconciles.into_inner().values().all(|count| *count == 1), "each sync once");
}

#[tokio::test]
async fn a_slow_namespace_takes_at_most_its_share() {
    let (sender, requests) = mpsc::unbounded();
    for index in 0..2 * CONCURRENT_RECONCILES {
        request(&sender, name(&index.to_string()));
    }
    let (slow, health) = (Cell::new(0), Health::new(&[]));
    let running = run(requests, &health, one, |sync| {
        let (slow, sender) = (&slow, &sender);
        async move {
            if sync.namespace == "other" {
                return sender.close_channel();
            }
            slow.set(slow.get() + 1);
            if slow.get() == CONCURRENT_RECONCILES / 2 {
                request(sender, NamespacedName::new("other", "a"));
            }
            while !sender.is_closed() {
                pause().await;
            }
        }
    });
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, running).await.expect("the other sync has its turn");
    assert_eq!(slow.get(), CONCURRENT_RECONCILES / 2);
}

#[tokio::test]
async fn running_reconciles_end_before_the_queue_does() {
    let (sender, requests) = mpsc::unbounded();
    request(&sender, name("a"));
    let later = Instant::now() + Duration::from_hours(1);
    sender.unbounded_send(Request { sync: name("b"), at: later }).unwrap();
    let ended = RefCell::new(Vec::new());
    run(requests, &Health::new(&[]), one, |sync| {
        let (ended, sender) = (&ended, &sender);
        async move {
            sender.close_channel();
            pause().await;
            ended.borrow_mut().push(sync);
        }
    })
    .await;
    assert_eq!(ended.into_inner(), [name("a")], "no other begins");
}

#[tokio::test]
async fn a_reconcile_that_never_returns_is_not_live() {
    let (sender, requests) = mpsc::unbounded();
    request(&sender, name("a"));
    let health = Health::new(&[]);
    let running = run(requests, &health, one, |_| std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(100), running).await.is_err());
    assert_eq!(health.live(), Ok(()));
    let stuck = health.live_at(Instant::now() + Duration::from_secs(90)).unwrap_err();
    assert!(stuck.contains("reconcile of team/a: no progress"), "{stuck}");
    assert!(stuck.contains("queue: no progress"), "{stuck}");
}
