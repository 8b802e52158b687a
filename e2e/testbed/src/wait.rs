//! Waiting for a state, never for a time.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::time;
use tokio::time::Instant;

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// A rest that is longer than wanted by this much was a machine that stood still.
const STALL: Duration = Duration::from_millis(250);

/// What one look at the world found.
#[derive(Debug)]
pub enum Seen<T> {
    /// What was awaited.
    Done(T),
    /// Something else: this.
    NotYet(String),
}

impl<T> Seen<T> {
    /// `Done` with what is there, or else `NotYet` with what is said instead.
    pub fn from_option(found: Option<T>, instead: impl FnOnce() -> String) -> Self {
        found.map_or_else(|| Self::NotYet(instead()), Self::Done)
    }
}

impl Seen<()> {
    /// `Done` if `done`, or else `NotYet` with what is said instead.
    pub fn from_bool(done: bool, instead: impl FnOnce() -> String) -> Self {
        Self::from_option(done.then_some(()), instead)
    }
}

/// Looks again and again until `look` sees what is awaited.
pub async fn until<T, Look, Looking>(
    what: impl AsRef<str>,
    deadline: Duration,
    look: Look,
) -> Result<T>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<Seen<T>>>,
{
    until_every(PAUSE, what, deadline, look).await
}

/// As [`until`], with a rest of `pause` between two looks: for looks that cost something.
pub async fn until_every<T, Look, Looking>(
    pause: Duration,
    what: impl AsRef<str>,
    deadline: Duration,
    mut look: Look,
) -> Result<T>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<Seen<T>>>,
{
    let what = what.as_ref();
    let mut end = Instant::now() + deadline;
    let mut last = "nothing yet".to_owned();
    loop {
        match time::timeout_at(end, look()).await {
            Ok(Ok(Seen::Done(found))) => return Ok(found),
            Ok(Ok(Seen::NotYet(instead))) => last = instead,
            Ok(Err(error)) => return Err(error).with_context(|| format!("waiting until {what}")),
            Err(_) => last.push_str(" (and the last look did not end)"),
        }
        if Instant::now() + pause >= end {
            bail!("waited {deadline:?} in vain until {what}; seen instead: {last}");
        }
        end += overslept(pause).await;
    }
}

/// Rests for `pause`, and tells how much longer it was if the machine stood still meanwhile: time
/// that nobody could look in is no time in vain.
async fn overslept(pause: Duration) -> Duration {
    let start = Instant::now();
    time::sleep(pause).await;
    let excess = start.elapsed().saturating_sub(pause);
    if excess < STALL { Duration::ZERO } else { excess }
}

/// Makes sure that something stays as it is for `period`: looks again and again, and finds it
/// `Done` each time.
pub async fn stays<Look, Looking>(
    what: impl AsRef<str>,
    period: Duration,
    mut look: Look,
) -> Result<()>
where
    Look: FnMut() -> Looking,
    Looking: Future<Output = Result<Seen<()>>>,
{
    let what = what.as_ref();
    let start = Instant::now();
    while start.elapsed() < period {
        let seen = look().await.with_context(|| format!("making sure that {what}"))?;
        if let Seen::NotYet(instead) = seen {
            bail!("after {:?} it was no longer so that {what}; seen: {instead}", start.elapsed());
        }
        time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_in_time_is_returned() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_secs(5), || {
            looks += 1;
            let seen = Seen::from_option((looks == 3).then_some(looks), || format!("look {looks}"));
            async move { Ok(seen) }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_does_not_come_is_named_with_what_was_seen_instead() {
        let error = until("it rains", Duration::from_millis(60), || async {
            Ok(Seen::<()>::NotYet("sunshine".to_owned()))
        });
        let error = error.await.unwrap_err().to_string();
        assert_eq!(error, "waited 60ms in vain until it rains; seen instead: sunshine");
    }

    #[tokio::test]
    async fn time_in_which_nobody_could_look_is_not_waited_in_vain() {
        let mut looks = 0;
        let found = until("the third look", Duration::from_millis(60), || {
            looks += 1;
            let seen = Seen::from_bool(looks == 3, || format!("look {looks}"));
            async move { Ok(seen) }
        });
        // All that this thread would do stands still.
        let stall = async { std::thread::sleep(2 * STALL) };
        assert!(tokio::join!(found, stall).0.is_ok());
    }

    #[tokio::test]
    async fn what_changes_does_not_stay() {
        let mut looks = 0;
        let error = stays("it is early", Duration::from_secs(5), || {
            looks += 1;
            let seen = Seen::from_bool(looks < 3, || format!("look {looks}"));
            async move { Ok(seen) }
        });
        assert!(error.await.unwrap_err().to_string().ends_with("it is early; seen: look 3"));
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_ended() {
        let error = until("it ends", Duration::from_millis(60), || async {
            std::future::pending::<()>().await;
            Ok(Seen::Done(()))
        });
        assert!(error.await.unwrap_err().to_string().contains("did not end"));
    }
}
