//! Random sequences of failures, successes, changes of the spec and events.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::*;
use crate::backoff::CAP_REFUSED;
use crate::backoff::CAP_UNAVAILABLE;
use crate::backoff::INITIAL_DELAY;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::contention::Wanted;
use crate::decide::reason::Reason;
use crate::metrics::Metrics;
use crate::state::State;

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
const UID: &str = "s";

fn response() -> impl Strategy<Value = Answer> {
    use Answer::{Conflict, Late, Refused, Unavailable, Written};
    prop::sample::select(vec![Refused, Unavailable, Written, Written, Written, Conflict, Late])
}

fn step() -> impl Strategy<Value = Step> {
    // Most events follow soon, as in a hot loop.
    let millis = prop_oneof![3 => 0..200_u64, 1 => 0..20_000_u64];
    let event_after = prop::option::of(millis.prop_map(Duration::from_millis));
    let edits = (prop::bool::weighted(0.1), any::<bool>());
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

/// The state of one sync, on a virtual clock.
struct Run {
    state: State,
    now: Instant,
    generation: i64,
    last_failure: [Option<Instant>; DESTINATIONS],
    /// How often the patch of the status has failed, and when it did last.
    status_failures: Option<(u32, Instant)>,
    late: Vec<(usize, Purpose)>,
    /// When the finalizer was set again.
    restored: Vec<Instant>,
    /// When each copy was written again as before.
    rewritten: [Vec<Instant>; DESTINATIONS],
    /// What each copy was made equal to.
    written: [Option<Wanted>; DESTINATIONS],
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
    fn update(&self, update: impl FnOnce(&mut Retries)) {
        self.state.update_retries(UID, update);
    }

    fn wanted(&self) -> Wanted {
        let content_hash = ContentHash::from_text("a");
        Wanted { generation: Some(self.generation), content_hash }
    }

    /// Why a copy is written now.
    fn purpose(&self) -> Purpose {
        let wanted = self.wanted();
        let was_wanted = self.state.history(UID).last_wanted.as_ref() == Some(&wanted);
        Purpose::Copy { wanted, was_wanted }
    }

    fn answer(&mut self, n: usize, purpose: Purpose, response: Answer) {
        let namespace_uid = Some("n".to_owned());
        if let Some(failure) = failure(response) {
            self.last_failure[n] = Some(self.now);
            let at_now = self.now;
            let attempt =
                FailedAttempt { at: at_now, ..FailedAttempt::now(failure, namespace_uid) };
            self.update(|retries| retries.failed(Subject::Destination(at(n)), attempt));
            return;
        }
        let response = match response {
            Answer::Conflict => Response::Conflict,
            _ => Response::Written,
        };
        if response == Response::Written
            && let Purpose::Copy { wanted, .. } = &purpose
        {
            self.last_failure[n] = None;
            let last = self.written[n].replace(wanted.clone());
            if last.as_ref() == Some(wanted) {
                self.rewritten[n].push(self.now);
            }
        }
        let write = AnsweredWrite { purpose, response, at: self.now, namespace_uid };
        self.update(|retries| retries.answered(&at(n), write));
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
            self.update(|retries| retries.failed(Subject::Status, attempt));
        } else {
            self.status_failures = None;
            self.update(|retries| retries.succeeded(&Subject::Status));
        }
        Ok(())
    }

    /// A reconcile. Returns when the next one is requested.
    fn reconcile(&mut self, step: &Step) -> Result<Option<Duration>, TestCaseError> {
        let began = self.now;
        self.generation += i64::from(step.edits_spec);
        for (n, purpose) in std::mem::take(&mut self.late) {
            self.answer(n, purpose, step.responses[n]);
            self.update(|retries| retries.write_ended(&at(n)));
        }
        if step.loses_finalizer && self.state.retries(UID).held_back(began).finalizer().is_none() {
            ensure_backoff(&self.restored, began)?;
            self.restored.push(began);
            self.update(|retries| retries.restored(Subject::Finalizer, began));
        }
        for n in 0..DESTINATIONS {
            let retries = self.state.retries(UID);
            if retries.held_back(began).destination(&at(n), Some("n")).is_some()
                || !step.needs_write[n]
            {
                continue;
            }
            if self.written[n] == Some(self.wanted()) {
                ensure_backoff(&self.rewritten[n], began)?;
            }
            if let Some(failed) = self.last_failure[n] {
                let waited = began.saturating_duration_since(failed);
                prop_assert!(waited >= INITIAL_DELAY.mul_f64(0.79), "retried after {waited:?}");
            }
            if matches!(step.responses[n], Answer::Late) {
                self.update(|retries| retries.write_in_flight(&at(n)));
                self.late.push((n, self.purpose()));
            } else {
                self.answer(n, self.purpose(), step.responses[n]);
            }
        }
        // What was written is in order, until the next step.
        let retries = self.state.retries(UID);
        let is_left = |n: usize| retries.held_back(began).destination(&at(n), Some("n")).is_some();
        self.state.settled(UID, began, Some(self.wanted()), |destination| {
            (0..DESTINATIONS).any(|n| *destination == at(n) && step.needs_write[n] && is_left(n))
        });
        if !self.state.retries(UID).held_back(began).status() {
            self.report(step.status)?;
        }
        let next = self.state.next_retry(UID, began, self.now);
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
            state: State::new(Duration::from_hours(1), Arc::new(Metrics::new(&[]))),
            now: Instant::now(),
            generation: 1,
            last_failure: [None; DESTINATIONS],
            status_failures: None,
            late: Vec::new(),
            restored: Vec::new(),
            rewritten: [const { Vec::new() }; DESTINATIONS],
            written: [const { None }; DESTINATIONS],
        };
        run.state.track(UID);
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
        prop_assert!(run.state.retries(UID).is_empty(), "{:?}", run.state);
    }
}
