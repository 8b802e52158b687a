//! Whichever request the operator crashes at, and however late its watches are, it reaches the same
//! final state.
//!
//! The method is that of Sieve (Sun et al., OSDI 2022), which tests controllers by systematic
//! faults. Each scenario runs once without faults, through the fault proxy. Then, for **every**
//! request that the operator sent in it (except watches and their initial lists), it runs again
//! with the leader
//! * killed (`kill -9`) before the request is sent, so that another replica leads,
//! * killed after the request was committed, likewise,
//! * without the response,
//! * frozen before the request is sent, and resumed when another replica has finished the work and the
//!   request has arrived;
//!
//! and for every resource that it watches, with the watch delayed by 1, 2, ... events, up to the
//! number of events in the run without faults.
//!
//! Runs follow one another on one control plane per scenario, each in its own namespaces. Each must
//! end in the state of the run without faults (data, markers, finalizers, conditions) and satisfy
//! all oracles. Afterwards, that state must not change while the operator is killed and restarted
//! in other runs.
//!
//! `-- --nocapture` prints a table of all runs.

use std::time::Instant;

use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;

use crate::support::crash::fault_case;
use crate::support::crash::fault_case::Case;
use crate::support::crash::fault_case::Faultless;
use crate::support::crash::runner::Injected;
use crate::support::crash::runner::Runner;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::scenarios::Adopt;
use crate::support::crash::scenarios::Conflict;
use crate::support::crash::scenarios::Create;
use crate::support::crash::scenarios::Delete;
use crate::support::crash::scenarios::Drift;
use crate::support::crash::scenarios::Move;
use crate::support::crash::scenarios::RemoveMarker;
use crate::support::crash::scenarios::RemoveMarkerAndDelete;
use crate::support::crash::scenarios::Replace;
use crate::support::crash::scenarios::Select;
use crate::support::crash::scenarios::Update;

/// Failed runs after which the test stops, since each takes its full timeout.
const MAX_FAILURES: usize = 3;
/// How often a run is repeated if the operator does not send the request that the fault applies to.
const ATTEMPTS: usize = 3;

/// Repeats a case until its fault was injected, since a run without it shows nothing. Returns the
/// number of runs.
async fn run(
    runner: &mut Runner,
    scenario: &impl Scenario,
    faultless: &Faultless,
    case: &Case,
) -> Result<usize> {
    let mut last = Vec::new();
    for run in 1..=ATTEMPTS {
        let result = runner.with_fault(scenario, faultless, case).await;
        runner.recover().await?;
        match result? {
            Injected::Yes => return Ok(run),
            Injected::No(requests) => last = requests,
        }
    }
    let last: Vec<_> = last.iter().map(ToString::to_string).collect();
    bail!(
        "none of {ATTEMPTS} runs sent this request of the run without faults; the last one sent\n{}",
        last.join("\n")
    )
}

/// Runs a scenario without faults, and then with each fault.
async fn inject_every_fault(scenario: impl Scenario) -> Result<()> {
    let name = scenario.name();
    let mut runner = Runner::start().await?;
    let faultless = runner.without_faults(&scenario).await?;
    let mut failures = Vec::new();
    eprintln!("{name}: {} requests, events: {:?}", faultless.requests.len(), faultless.events);
    for case in fault_case::all(&faultless) {
        let start = Instant::now();
        let result = match run(&mut runner, &scenario, &faultless, &case).await {
            Ok(runs) => format!("ok in run {runs} after {:.1} s", start.elapsed().as_secs_f32()),
            Err(error) => {
                failures.push(format!("{name}: {case}: {error:#}"));
                "FAILED".to_owned()
            }
        };
        eprintln!("{name} | {case} | {result}");
        if failures.len() == MAX_FAILURES {
            break;
        }
    }
    failures.extend(runner.later_changes().await?);
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn creation_survives_every_fault() -> Result<()> {
    inject_every_fault(Create).await
}

#[tokio::test]
async fn an_edit_of_the_source_survives_every_fault() -> Result<()> {
    inject_every_fault(Update).await
}

#[tokio::test]
async fn the_repair_of_a_copy_survives_every_fault() -> Result<()> {
    inject_every_fault(Drift).await
}

#[tokio::test]
async fn a_change_of_destination_survives_every_fault() -> Result<()> {
    inject_every_fault(Move).await
}

#[tokio::test]
async fn deletion_survives_every_fault() -> Result<()> {
    inject_every_fault(Delete).await
}

#[tokio::test]
async fn an_immutable_replacement_survives_every_fault() -> Result<()> {
    inject_every_fault(Replace).await
}

#[tokio::test]
async fn a_removed_marker_survives_every_fault() -> Result<()> {
    inject_every_fault(RemoveMarker).await
}

#[tokio::test]
async fn a_removed_marker_and_deletion_survive_every_fault() -> Result<()> {
    inject_every_fault(RemoveMarkerAndDelete).await
}

#[tokio::test]
async fn three_selected_namespaces_survive_every_fault() -> Result<()> {
    inject_every_fault(Select).await
}

#[tokio::test]
async fn adoption_survives_every_fault() -> Result<()> {
    inject_every_fault(Adopt).await
}

#[tokio::test]
async fn a_conflict_survives_every_fault() -> Result<()> {
    inject_every_fault(Conflict).await
}
