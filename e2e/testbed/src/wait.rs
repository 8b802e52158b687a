//! Waiting for a state, with a deadline.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::time;
use tokio::time::Instant;

/// Pause between two checks.
const PAUSE: Duration = Duration::from_millis(25);
/// A pause that is longer than requested by this much is a stall of the machine.
const STALL: Duration = Duration::from_millis(250);

/// The result of one check.
#[derive(Debug)]
pub enum Seen<T> {
    /// The state has been reached.
    Done(T),
    /// Not reached yet: what was observed instead.
    NotYet(String),
}

impl<T> Seen<T> {
    /// `Done` with the value of `found`, or else `NotYet` with the text of `instead`.
    pub fn from_option(found: Option<T>, instead: impl FnOnce() -> String) -> Self {
        found.map_or_else(|| Self::NotYet(instead()), Self::Done)
    }
}

impl Seen<()> {
    /// `Done` if `done`, or else `NotYet` with the text of `instead`.
    pub fn from_bool(done: bool, instead: impl FnOnce() -> String) -> Self {
        Self::from_option(done.then_some(()), instead)
    }
}

/// Calls `check` until it returns `Done`, and returns its value.
///
/// `what` completes the sentence "waiting until ...". After `deadline`, the error contains the last
/// observation.
pub async fn until<T, Check, Checking>(
    what: impl AsRef<str>,
    deadline: Duration,
    check: Check,
) -> Result<T>
where
    Check: FnMut() -> Checking,
    Checking: Future<Output = Result<Seen<T>>>,
{
    until_every(PAUSE, what, deadline, check).await
}

/// As [`until`], with a pause of `pause` between two checks, for expensive checks.
pub async fn until_every<T, Check, Checking>(
    pause: Duration,
    what: impl AsRef<str>,
    deadline: Duration,
    mut check: Check,
) -> Result<T>
where
    Check: FnMut() -> Checking,
    Checking: Future<Output = Result<Seen<T>>>,
{
    let what = what.as_ref();
    let mut end = Instant::now() + deadline;
    let mut last = "nothing".to_owned();
    loop {
        match time::timeout_at(end, check()).await {
            Ok(Ok(Seen::Done(found))) => return Ok(found),
            Ok(Ok(Seen::NotYet(instead))) => last = instead,
            Ok(Err(error)) => return Err(error).with_context(|| format!("waiting until {what}")),
            Err(_) => last.push_str(" (the last check did not return)"),
        }
        if Instant::now() + pause >= end {
            bail!("timed out after {deadline:?} waiting until {what}; last observed: {last}");
        }
        end += overslept(pause).await;
    }
}

/// Sleeps for `pause`, and returns the excess if the machine stalled: a stall extends the deadline.
async fn overslept(pause: Duration) -> Duration {
    let start = Instant::now();
    time::sleep(pause).await;
    let excess = start.elapsed().saturating_sub(pause);
    if excess < STALL { Duration::ZERO } else { excess }
}

/// Ensures that a state lasts for `period`: calls `check` repeatedly, and fails if it ever returns
/// `NotYet`. `what` completes the sentence "ensuring that ...".
pub async fn stays<Check, Checking>(
    what: impl AsRef<str>,
    period: Duration,
    mut check: Check,
) -> Result<()>
where
    Check: FnMut() -> Checking,
    Checking: Future<Output = Result<Seen<()>>>,
{
    let what = what.as_ref();
    let start = Instant::now();
    while start.elapsed() < period {
        let seen = check().await.with_context(|| format!("ensuring that {what}"))?;
        if let Seen::NotYet(instead) = seen {
            bail!(
                "after {:?}, it no longer holds that {what}; observed: {instead}",
                start.elapsed()
            );
        }
        time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_state_reached_in_time_is_returned() {
        let mut checks = 0;
        let found = until("the third check", Duration::from_secs(5), || {
            checks += 1;
            let seen =
                Seen::from_option((checks == 3).then_some(checks), || format!("check {checks}"));
            async move { Ok(seen) }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_timeout_names_the_state_and_the_last_observation() {
        let error = until("it rains", Duration::from_millis(60), || async {
            Ok(Seen::<()>::NotYet("sunshine".to_owned()))
        });
        let error = error.await.unwrap_err().to_string();
        assert_eq!(error, "timed out after 60ms waiting until it rains; last observed: sunshine");
    }

    #[tokio::test]
    async fn a_stall_of_the_machine_extends_the_deadline() {
        let mut checks = 0;
        let found = until("the third check", Duration::from_millis(60), || {
            checks += 1;
            let seen = Seen::from_bool(checks == 3, || format!("check {checks}"));
            async move { Ok(seen) }
        });
        // Blocks the only thread of the runtime.
        let stall = async { std::thread::sleep(2 * STALL) };
        assert!(tokio::join!(found, stall).0.is_ok());
    }

    #[tokio::test]
    async fn a_change_fails_stays() {
        let mut checks = 0;
        let error = stays("it is early", Duration::from_secs(5), || {
            checks += 1;
            let seen = Seen::from_bool(checks < 3, || format!("check {checks}"));
            async move { Ok(seen) }
        });
        assert!(error.await.unwrap_err().to_string().ends_with("it is early; observed: check 3"));
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_cancelled() {
        let error = until("it ends", Duration::from_millis(60), || async {
            std::future::pending::<()>().await;
            Ok(Seen::Done(()))
        });
        assert!(error.await.unwrap_err().to_string().contains("did not return"));
    }
}
