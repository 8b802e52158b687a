//! Promise: wherever the operator is stopped, and whatever it is not told, the end is the same.
//!
//! Each scenario runs once without faults, through the fault proxy. Then, for **every** request
//! that the operator sent about it (but watches and the lists they begin with), it runs again
//! with the operator
//! * killed (`kill -9`) before the request is sent, so that another replica leads,
//! * killed after it was committed, likewise,
//! * left without the answer,
//! * frozen before the request is sent, and woken up when another has done all of it and the
//!   request has arrived;
//!
//! and for every resource that it watches, with the watch lagging behind by 1, 2, … events, as
//! many as there were.
//!
//! Each run takes place in namespaces of its own, after the run before it, on one control plane
//! per scenario. It has to end in the state in which the run without faults ended (data, marks,
//! finalizers, conditions), and the oracles O1-O5 must have nothing to say; and nothing that has
//! ended may change later, while the operator is killed and started again for other runs.
//!
//! The table of all runs is shown with `-- --nocapture`.

use std::time::Instant;

use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;

use crate::support::crash::fault_case;
use crate::support::crash::fault_case::Case;
use crate::support::crash::fault_case::Plain;
use crate::support::crash::runner::Runner;
use crate::support::crash::runner::Struck;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::scenarios::Adopt;
use crate::support::crash::scenarios::Create;
use crate::support::crash::scenarios::Delete;
use crate::support::crash::scenarios::Drift;
use crate::support::crash::scenarios::Move;
use crate::support::crash::scenarios::Refuse;
use crate::support::crash::scenarios::Replace;
use crate::support::crash::scenarios::Select;
use crate::support::crash::scenarios::Taken;
use crate::support::crash::scenarios::TakenAndDeleted;
use crate::support::crash::scenarios::Update;

/// So many runs that go wrong tell what is wrong; each takes its full time.
const ENOUGH: usize = 3;
/// How often a run is repeated in which the request did not come that was to be struck.
const ATTEMPTS: usize = 3;

/// Runs a case until its fault has come to pass, and tells how many runs it took: a run that was
/// never struck shows nothing.
async fn run(
    stage: &mut Runner,
    scenario: &impl Scenario,
    plain: &Plain,
    case: &Case,
) -> Result<usize> {
    let mut instead = Vec::new();
    for run in 1..=ATTEMPTS {
        let result = stage.with_fault(scenario, plain, case).await;
        stage.mend().await?;
        match result? {
            Struck::Yes => return Ok(run),
            Struck::No(requests) => instead = requests,
        }
    }
    let instead: Vec<_> = instead.iter().map(ToString::to_string).collect();
    bail!(
        "the run without faults had this request, and {ATTEMPTS} runs have not; the last one had\n{}",
        instead.join("\n")
    )
}

async fn sieve(scenario: impl Scenario) -> Result<()> {
    let name = scenario.name();
    let mut stage = Runner::start().await?;
    let plain = stage.without_faults(&scenario).await?;
    let mut wrong = Vec::new();
    eprintln!("{name}: {} requests, events: {:?}", plain.requests.len(), plain.events);
    for case in fault_case::all(&plain) {
        let begin = Instant::now();
        let result = match run(&mut stage, &scenario, &plain, &case).await {
            Ok(runs) => format!("ok in {runs} after {:.1} s", begin.elapsed().as_secs_f32()),
            Err(error) => {
                wrong.push(format!("{name}: {case}: {error:#}"));
                "FAILED".to_owned()
            }
        };
        eprintln!("{name} | {case} | {result}");
        if wrong.len() == ENOUGH {
            break;
        }
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

#[tokio::test]
async fn what_stands_at_the_destination_passes_the_sieve() -> Result<()> {
    sieve(Refuse).await
}
