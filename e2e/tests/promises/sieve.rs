//! Promise: wherever the operator is stopped, and whatever it is not told, the end is the same.
//!
//! Each scenario runs once without faults, through the fault proxy. Then, for **every** request
//! that the operator sent about it (but watches and the lists they begin with), it runs again
//! with the operator
//! * killed (`kill -9`) before the request is sent,
//! * killed after it was committed,
//! * left without the answer;
//!
//! and for every resource that it watches, with the watch lagging behind by 1, 2, … events, as
//! many as there were.
//!
//! Each run takes place in namespaces of its own, after the run before it, on one control plane
//! per scenario. It has to end in the state in which the run without faults ended (data, marks,
//! finalizers, conditions), and the oracles O2-O5 must have nothing to say; and nothing that has
//! ended may change later, while the operator is killed and started again for other runs.
//!
//! The table of all runs is shown with `-- --nocapture`.

mod case;
mod place;
mod scenarios;
mod stage;
mod state;

use anyhow::Result;
use anyhow::ensure;

use crate::sieve::place::Scenario;
use crate::sieve::scenarios::Adopt;
use crate::sieve::scenarios::Create;
use crate::sieve::scenarios::Delete;
use crate::sieve::scenarios::Drift;
use crate::sieve::scenarios::Move;
use crate::sieve::scenarios::Replace;
use crate::sieve::scenarios::Select;
use crate::sieve::scenarios::Taken;
use crate::sieve::scenarios::TakenAndDeleted;
use crate::sieve::scenarios::Update;
use crate::sieve::stage::Stage;

/// So many runs that go wrong tell what is wrong; each takes its full time.
const ENOUGH: usize = 3;

async fn sieve(scenario: impl Scenario) -> Result<()> {
    let name = scenario.name();
    let mut stage = Stage::start().await?;
    let plain = stage.without_faults(&scenario).await?;
    let mut wrong = Vec::new();
    eprintln!("{name}: {} requests, events: {:?}", plain.requests.len(), plain.events);
    for case in case::all(&plain) {
        let result = stage.with_fault(&scenario, &plain, &case).await;
        let result = match result {
            Ok(note) => note,
            Err(error) => {
                wrong.push(format!("{name}: {case}: {error:#}"));
                "FAILED".to_owned()
            }
        };
        eprintln!("{name} | {case} | {result}");
        if wrong.len() == ENOUGH {
            break;
        }
        stage.mend().await?;
    }
    wrong.extend(stage.later_changes().await?);
    ensure!(wrong.is_empty(), "{} runs went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn creation_passes_the_sieve() -> Result<()> {
    sieve(Create).await
}

#[tokio::test]
async fn an_edit_of_the_source_passes_the_sieve() -> Result<()> {
    sieve(Update).await
}

#[tokio::test]
async fn the_repair_of_a_copy_passes_the_sieve() -> Result<()> {
    sieve(Drift).await
}

#[tokio::test]
async fn another_destination_passes_the_sieve() -> Result<()> {
    sieve(Move).await
}

#[tokio::test]
async fn deletion_passes_the_sieve() -> Result<()> {
    sieve(Delete).await
}

#[tokio::test]
async fn the_replacement_of_an_immutable_copy_passes_the_sieve() -> Result<()> {
    sieve(Replace).await
}

#[tokio::test]
async fn a_copy_that_somebody_takes_passes_the_sieve() -> Result<()> {
    sieve(Taken).await
}

#[tokio::test]
async fn a_copy_taken_before_the_deletion_passes_the_sieve() -> Result<()> {
    sieve(TakenAndDeleted).await
}

#[tokio::test]
async fn three_selected_namespaces_pass_the_sieve() -> Result<()> {
    sieve(Select).await
}

#[tokio::test]
async fn adoption_passes_the_sieve() -> Result<()> {
    sieve(Adopt).await
}
