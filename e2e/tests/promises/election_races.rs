//! Of two candidates, one acquires the Lease, in whatever order their requests arrive.
//!
//! These are the counterexamples of the election model, run on a real API server: the PATCH of a
//! slow candidate is delayed until a fast one has acquired the Lease. With the crate alone, both
//! acquire it, or neither; through the lease guard, the delayed PATCH is refused.

mod candidates;

use anyhow::Result;
use anyhow::ensure;

use crate::election_races::candidates::Call;
use crate::election_races::candidates::Candidates;
use crate::election_races::candidates::Kind;
use crate::election_races::candidates::Outcome;
use crate::election_races::candidates::SLOW;

/// Runs the race with the crate alone and through the guard, and fails unless these are the
/// outcomes.
async fn ensure_outcomes(holder: &str, call: Call, alone: Outcome, guarded: Outcome) -> Result<()> {
    let candidates = Candidates::start().await?;
    for (kind, wanted) in [(Kind::Alone, alone), (Kind::Guarded, guarded)] {
        let outcome = candidates.race(kind, holder, call).await?;
        eprintln!("{kind:?}: {outcome}");
        ensure!(outcome == wanted, "{kind:?}: {outcome}, expected: {wanted}");
    }
    Ok(())
}

/// The outcome through the guard.
fn fast_acquired() -> Outcome {
    Outcome::new("refused: 409", "acquired for fast", "fast, as it was acquired")
}

#[tokio::test]
async fn one_of_two_candidates_acquires_an_expired_lease() -> Result<()> {
    let both = Outcome::new("acquired for slow", "acquired for fast", "slow, changed since");
    ensure_outcomes("a process that has ended", Call::Acquire, both, fast_acquired()).await
}

#[tokio::test]
async fn a_renewal_after_a_takeover_is_refused() -> Result<()> {
    let renewed = Outcome::new("acquired for fast", "acquired for fast", "fast, changed since");
    ensure_outcomes(SLOW, Call::Acquire, renewed, fast_acquired()).await
}

#[tokio::test]
async fn stepping_down_after_a_takeover_keeps_the_new_holder() -> Result<()> {
    let freed = Outcome::new("released", "acquired for fast", "no holder, changed since");
    ensure_outcomes(SLOW, Call::StepDown, freed, fast_acquired()).await
}
