//! What has to make progress, and when each part last did.

use std::collections::BTreeMap;
use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

/// A part without progress for this long is stuck. Twelve times the period of the slowest beat, and
/// four times the longest wait for the API server.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// When each part last made progress.
#[derive(Debug, Default)]
pub struct Beats {
    /// Parts that run until the process ends: they stay even if their task has ended.
    parts: Mutex<BTreeMap<String, Instant>>,
    work: Mutex<BTreeMap<u64, Work>>,
}

/// Work in progress.
#[derive(Debug)]
struct Work {
    name: String,
    last: Arc<Mutex<Instant>>,
}

// === impl Beats ===

impl Beats {
    /// `part` makes progress now, and must from now on.
    pub fn beat(&self, part: &str) {
        let mut parts = self.parts.lock();
        match parts.get_mut(part) {
            Some(last) => *last = Instant::now(),
            None => drop(parts.insert(part.to_owned(), Instant::now())),
        }
    }

    /// Runs `work`, which makes progress whenever it is polled. It stays listed if it panics or is
    /// dropped.
    pub async fn during<T>(&self, name: String, work: impl Future<Output = T>) -> T {
        let last = Arc::new(Mutex::new(Instant::now()));
        let id = {
            let mut all = self.work.lock();
            let id = all.last_key_value().map_or(0, |(id, _)| id + 1);
            all.insert(id, Work { name, last: Arc::clone(&last) });
            id
        };
        let mut work = pin!(work);
        let output = poll_fn(|context| {
            *last.lock() = Instant::now();
            work.as_mut().poll(context)
        });
        let output = output.await;
        self.work.lock().remove(&id);
        output
    }

    /// Whether everything has made progress in the last minute.
    ///
    /// # Errors
    /// What has not, one per line.
    pub fn check(&self, now: Instant) -> Result<(), String> {
        let stuck = |name: &str, last: Instant| {
            let elapsed = now.saturating_duration_since(last);
            let seconds = elapsed.as_secs();
            (elapsed >= STUCK_AFTER).then(|| format!("{name}: no progress for {seconds} s"))
        };
        let parts = self.parts.lock();
        let parts = parts.iter().filter_map(|(part, last)| stuck(part, *last));
        let mut all: Vec<_> = parts.collect();
        all.extend(self.work.lock().values().filter_map(|it| stuck(&it.name, *it.last.lock())));
        if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::pending;

    use super::*;

    fn later() -> Instant {
        Instant::now() + STUCK_AFTER
    }

    #[test]
    fn a_part_without_progress_is_stuck() {
        let beats = Beats::default();
        assert_eq!(beats.check(later()), Ok(()), "nothing has begun");
        beats.beat("queue");
        assert_eq!(beats.check(Instant::now()), Ok(()));
        assert_eq!(beats.check(later()), Err("queue: no progress for 60 s".to_owned()));
    }

    #[tokio::test]
    async fn a_part_whose_task_panicked_is_stuck() {
        let beats = Arc::new(Beats::default());
        let in_task = Arc::clone(&beats);
        let task = tokio::spawn(async move {
            in_task.beat("watch");
            panic!("expected");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(beats.check(later()).is_err());
    }

    #[test]
    fn work_that_never_returns_is_stuck() {
        let beats = Beats::default();
        let mut work = pin!(beats.during("reconcile of a/b".to_owned(), pending::<()>()));
        assert!(work.as_mut().now_or_never().is_none());
        assert_eq!(beats.check(later()), Err("reconcile of a/b: no progress for 60 s".to_owned()));
    }

    #[test]
    fn completed_work_is_forgotten() {
        let beats = Beats::default();
        assert_eq!(beats.during("work".to_owned(), async { 7 }).now_or_never(), Some(7));
        assert_eq!(beats.check(later()), Ok(()));
    }
}
