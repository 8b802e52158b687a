//! Random sequences of failures, successes, changes of the spec and events.

use proptest::prelude::*;

use super::super::*;
use crate::backoff::CAP_REFUSED;
use crate::backoff::CAP_UNAVAILABLE;
use crate::backoff::INITIAL_DELAY;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::contention::Wanted;
use crate::decide::reason::Reason;

#[derive(Clone, Copy, Debug)]
enum Answer {
    Refused,
    Unavailable,
    Written,
    Conflict,
    Late,
}

/// One reconcile, `after` an event or the delay of the one before.
#[derive(Clone, Debug)]
struct Step {
    event_after: Option<Duration>,
    edits_spec: bool,
    loses_finalizer: bool,
    needs_write: [bool; DESTINATIONS],
    responses: [Answer; DESTINATIONS],
    status: Answer,
}

const DESTINATIONS: usize = 2;

fn response() -> impl Strategy<Value = Answer> {
    use Answer::{Conflict, Late, Refused, Unavailable, Written};
    prop::sample::select(vec![Refused, Unavailable, Written, Conflict, Late])
}

fn step() -> impl Strategy<Value = Step> {
    // Most events follow soon, as in a hot loop.
    let millis = prop_oneof![3 => 0..200_u64, 1 => 0..20_000_u64];
    let event_after = prop::option::of(millis.prop_map(Duration::from_millis));
    let edits = (any::<bool>(), any::<bool>());
    (event_after, edits, any::<[bool; 2]>(), [response(), response()], response()).prop_map(
        |(event_after, (edits_spec, loses_finalizer), needs_write, responses, status)| Step {
            event_after,
            edits_spec,
            loses_finalizer,
            needs_write,
            responses,
            status,
        },
    )
}

fn at(n: usize) -> NamespacedName {
    NamespacedName::new(format!("app-{n}"), "shared")
}

fn failure(response: Answer) -> Option<ApiFailure> {
    let cap = match response {
        Answer::Refused => CAP_REFUSED,
        Answer::Unavailable => CAP_UNAVAILABLE,
        _ => return None,
    };
    let failure = Failure::new(Reason::ApiError, "no");
    Some(ApiFailure { failure, backoff_cap: cap, retry_after: None })
}

/// The retries of one sync, on a virtual clock.
struct Run {
    retries: Retries,
    now: Instant,
    generation: i64,
    last_failure: [Option<Instant>; DESTINATIONS],
    /// How often the patch of the status has failed, and when it did last.
    status_failures: Option<(u32, Instant)>,
    late: Vec<usize>,
    /// When the finalizer was set again.
    restored: Vec<Instant>,
}

/// Fails if a write at `now` follows more than 5 `undone` ones of the last minute without a delay.
fn ensure_backoff(undone: &[Instant], now: Instant) -> Result<(), TestCaseError> {
    let recent = undone.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW);
    let Some(last) = undone.last().filter(|_| recent.count() > 5) else { return Ok(()) };
    let waited = now.saturating_duration_since(*last);
    prop_assert!(waited >= INITIAL_DELAY.mul_f64(0.79), "written again after {waited:?}");
    Ok(())
}

impl Run {
    fn answer(&mut self, n: usize, response: Answer) {
        let namespace_uid = Some("n".to_owned());
        if let Some(failure) = failure(response) {
            self.last_failure[n] = Some(self.now);
            let at_now = self.now;
            let attempt =
                FailedAttempt { at: at_now, ..FailedAttempt::now(failure, namespace_uid) };
            self.retries.failed(Subject::Destination(at(n)), attempt);
            return;
        }
        let content_hash = ContentHash::from_text("a");
        let wanted = Wanted { generation: Some(self.generation), content_hash };
        let purpose = Purpose::Copy { wanted, was_reported: true };
        let response = match response {
            Answer::Conflict => Response::Conflict,
            _ => Response::Written,
        };
        if response == Response::Written {
            self.last_failure[n] = None;
        }
        let write = AnsweredWrite { purpose, response, at: self.now, namespace_uid };
        self.retries.answered(&at(n), write);
    }

    fn report(&mut self, answer: Answer) -> Result<(), TestCaseError> {
        if let Some((failures, failed)) = self.status_failures {
            let waited = self.now.saturating_duration_since(failed);
            let least = INITIAL_DELAY.mul_f64(0.79) * 2_u32.pow(failures.min(6) - 1);
            let least = least.min(CAP_UNAVAILABLE.mul_f64(0.79));
            prop_assert!(waited >= least, "status patched after {waited:?}, not {least:?}");
        }
        if let Some(failure) = failure(answer) {
            let failures = self.status_failures.map_or(0, |(failures, _)| failures);
            self.status_failures = Some((failures + 1, self.now));
            let attempt = FailedAttempt { at: self.now, ..FailedAttempt::now(failure, None) };
            self.retries.failed(Subject::Status, attempt);
        } else {
            self.status_failures = None;
            self.retries.succeeded(&Subject::Status);
        }
        Ok(())
    }

    /// A reconcile. Returns when the next one is requested.
    fn reconcile(&mut self, step: &Step) -> Result<Option<Duration>, TestCaseError> {
        let began = self.now;
        self.generation += i64::from(step.edits_spec);
        for n in std::mem::take(&mut self.late) {
            self.answer(n, step.responses[n]);
            self.retries.write_ended(&at(n));
        }
        if step.loses_finalizer && self.retries.held_back(began).finalizer().is_none() {
            ensure_backoff(&self.restored, began)?;
            self.restored.push(began);
            self.retries.finalizer_restored(began);
        }
        for n in 0..DESTINATIONS {
            let held = self.retries.held_back(began).destination(&at(n), Some("n"));
            if held.is_some() || !step.needs_write[n] {
                continue;
            }
            if let Some(failed) = self.last_failure[n] {
                let waited = began.saturating_duration_since(failed);
                prop_assert!(waited >= INITIAL_DELAY.mul_f64(0.79), "retried after {waited:?}");
            }
            if matches!(step.responses[n], Answer::Late) {
                self.retries.write_in_flight(&at(n));
                self.late.push(n);
            } else {
                self.answer(n, step.responses[n]);
            }
        }
        self.retries.settled(began, |destination| {
            (0..DESTINATIONS).any(|n| *destination == at(n) && step.needs_write[n])
        });
        if !self.retries.held_back(began).status() {
            self.report(step.status)?;
        }
        let next = self.retries.next_retry(began, self.now);
        if let Some(next) = next {
            prop_assert!(next > Duration::ZERO, "requeued without delay");
            prop_assert!(next <= CAP_REFUSED, "waits for {next:?}");
        }
        Ok(next)
    }
}

proptest! {
    #[test]
    fn retries_wait_their_delay_and_no_longer(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run {
            retries: Retries::default(),
            now: Instant::now(),
            generation: 1,
            last_failure: [None; DESTINATIONS],
            status_failures: None,
            late: Vec::new(),
            restored: Vec::new(),
        };
        for step in &steps {
            let next = run.reconcile(step)?;
            let delay = match (next, step.event_after) {
                (Some(next), Some(event)) => next.min(event),
                (Some(delay), None) | (None, Some(delay)) => delay,
                (None, None) => INITIAL_DELAY,
            };
            run.now += delay;
        }
        // Everything is in order for a while: nothing is left.
        let calm = Step {
            event_after: None,
            edits_spec: false,
            loses_finalizer: false,
            needs_write: [false; DESTINATIONS],
            responses: [Answer::Written; DESTINATIONS],
            status: Answer::Written,
        };
        for _ in 0..2 {
            run.reconcile(&calm)?;
            run.now += CAP_REFUSED * 3;
        }
        prop_assert!(run.retries.is_empty(), "{:?}", run.retries);
    }
}
