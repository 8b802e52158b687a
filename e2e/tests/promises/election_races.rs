//! Promise: of two who reach for the Lease, one has it, in whatever order their requests arrive.
//!
//! The counterexamples that the model of the election finds, before a real API server: the second
//! request of one candidate is held up until another has taken the Lease. With the crate alone, both
//! have it, or neither; through the guard, the one that was held up is refused.

mod stage;

use anyhow::Result;
use anyhow::ensure;

use crate::election_races::stage::Call;
use crate::election_races::stage::Kind;
use crate::election_races::stage::Outcome;
use crate::election_races::stage::SLOW;
use crate::election_races::stage::Stage;

/// What comes of a race, for a slow candidate and the fast one that overtakes it, alone and guarded.
async fn races(holder: &str, call: Call, alone: Outcome, guarded: Outcome) -> Result<()> {
    let stage = Stage::build().await?;
    for (kind, wanted) in [(Kind::Alone, alone), (Kind::Guarded, guarded)] {
        let outcome = stage.race(kind, holder, call).await?;
        eprintln!("{kind:?}: {outcome}");
        ensure!(outcome == wanted, "{kind:?}: {outcome}, and not {wanted}");
    }
    Ok(())
}

/// What comes of it where the guard stands before the Lease.
fn one_has_it() -> Outcome {
    Outcome::new("refused: 409", "acquired for fast", "fast, as it was acquired")
}

#[tokio::test]
async fn of_two_who_find_a_lease_expired_one_acquires_it() -> Result<()> {
    let both = Outcome::new("acquired for slow", "acquired for fast", "slow, changed since");
    races("a process that has ended", Call::Acquire, both, one_has_it()).await
}

#[tokio::test]
async fn a_renewal_that_comes_after_a_takeover_is_refused() -> Result<()> {
    let renewed = Outcome::new("acquired for fast", "acquired for fast", "fast, changed since");
    races(SLOW, Call::Acquire, renewed, one_has_it()).await
}

#[tokio::test]
async fn stepping_down_after_a_takeover_leaves_the_lease_to_the_new_leader() -> Result<()> {
    let freed = Outcome::new("released", "acquired for fast", "nobody, changed since");
    races(SLOW, Call::StepDown, freed, one_has_it()).await
}
