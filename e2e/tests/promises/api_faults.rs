//! Whichever request of a reconcile the API server or the network fails, and however, the operator
//! reaches the same final state, and tries at most once for each step of its backoff.
//!
//! Each scenario runs once without faults. Then, for **every** request that the operator sent in it,
//! it runs again with each fault at that request: 409, 429 and 503 with `Retry-After`, 500, 503, 504,
//! no answer, connections reset before and after the request is handled, a truncated response, and a
//! page with 200 that did not come from the API server.
//! The requests include the reviews of what a ServiceAccount is allowed to do: one that has failed
//! permits nothing. Faults that are answered at once also occur three times in a row.
//!
//! The runs are concurrent, each in its own namespaces. Each must end in the state of the run without
//! faults (data, markers, finalizers, conditions), and all together must satisfy the oracles. Each
//! copy is created once. Meanwhile a ConfigMapSync without faults keeps following its source.
//!
//! `E2E_FULL=1` runs all scenarios. `-- --nocapture` prints a table of all runs.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use futures::StreamExt as _;
use futures::stream;
use harness::fixture::one_to_one;
use serde_json::json;

use crate::support::crash::fault_case::RequestKey;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::scenarios::Adopt;
use crate::support::crash::scenarios::Conflict;
use crate::support::crash::scenarios::Create;
use crate::support::crash::scenarios::CreateByAccount;
use crate::support::crash::scenarios::Delete;
use crate::support::crash::scenarios::Drift;
use crate::support::crash::scenarios::Move;
use crate::support::crash::scenarios::RemoveMarker;
use crate::support::crash::scenarios::RemoveMarkerAndDelete;
use crate::support::crash::scenarios::Replace;
use crate::support::crash::scenarios::Select;
use crate::support::crash::scenarios::Update;
use crate::support::fault_matrix::api_fault::ApiFault;
use crate::support::fault_matrix::matrix::Case;
use crate::support::fault_matrix::matrix::Matrix;
use crate::support::fault_matrix::matrix::Run;
use crate::support::scale::propagation;
use crate::support::scale::quick_or_full;

/// Concurrent runs of one scenario.
const CONCURRENT: usize = 8;
/// How often a run is repeated if the operator does not send the request that the fault applies to,
/// because it has observed two changes at once.
const ATTEMPTS: usize = 2;
/// Pause between two edits of the source without faults.
const BETWEEN: Duration = Duration::from_millis(500);
/// Faults in a row.
const IN_A_ROW: usize = 3;

/// The runs of a scenario, with the number of copies that each creates, and its failures.
struct Results {
    runs: Vec<(usize, Run)>,
    failures: Vec<String>,
}

/// Every fault at every request of the run without faults; three in a row of some.
fn cases(keys: &[RequestKey]) -> Vec<Case> {
    let times = |fault: ApiFault| {
        let repeats = if quick_or_full(fault.is_repeated(), !fault.is_silent()) { 2 } else { 1 };
        [1, IN_A_ROW].into_iter().take(repeats).collect::<Vec<_>>()
    };
    let case = |key: &RequestKey, fault, times| Case { key: key.clone(), fault, times };
    keys.iter()
        .flat_map(|key| ApiFault::ALL.map(|fault| (key, fault)))
        .flat_map(|(key, fault)| times(fault).into_iter().map(move |times| case(key, fault, times)))
        .collect()
}

async fn inject_each(matrix: &Matrix, scenario: impl Scenario) -> Result<Results> {
    let name = scenario.name();
    let (faultless, run) = matrix.without_faults(&scenario).await.context(name)?;
    let tested =
        (0..faultless.requests.len()).filter(|n| scenario.is_tested(&faultless.requests[*n]));
    let keys: Vec<_> = tested.map(|n| RequestKey::of(&faultless, n)).collect();
    ensure!(!keys.is_empty(), "{name}: no request is tested");
    let creates = matrix.creates(&run.prefix).await?;
    let runs = stream::iter(cases(&keys)).map(async |case| {
        let began = Instant::now();
        let mut result = matrix.with_fault(&scenario, &faultless, &case).await;
        for _ in 1..ATTEMPTS {
            if result.is_ok() {
                break;
            }
            result = matrix.with_fault(&scenario, &faultless, &case).await;
        }
        (case, began.elapsed(), result)
    });
    let mut runs = runs.buffer_unordered(CONCURRENT);
    let mut results = Results { runs: vec![(creates, run)], failures: Vec::new() };
    while let Some((case, took, result)) = runs.next().await {
        let outcome = match result {
            Ok(run) => {
                let outcome = format!("{} requests", run.requests.len());
                results.runs.push((creates, run));
                outcome
            }
            Err(error) => {
                let outcome = format!("FAILED: {error:#}");
                results.failures.push(format!("{name} | {case}: {error:#}"));
                outcome
            }
        };
        eprintln!("{name} | {case} | {outcome} in {:.1} s", took.as_secs_f32());
    }
    Ok(results)
}

/// Edits a source until `is_over`, and returns how long the slowest edit took to reach its copy.
async fn slowest_edit(matrix: &Matrix, is_over: &AtomicBool) -> Result<Duration> {
    let fixture = matrix.cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "witness", &[("a", "0")]).await?;
    fixture.create_sync("central", "witness", one_to_one("central", "witness", "app")).await?;
    let mut slowest = Duration::ZERO;
    for edit in 1_u32.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (value, began) = (edit.to_string(), Instant::now());
        fixture.patch_config_map("central", "witness", &json!({"data": {"a": value}})).await?;
        fixture.wait_data("app", "witness", &[("a", &value)], propagation()).await?;
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(slowest)
}

async fn run_scenarios(matrix: &Matrix) -> Result<Results> {
    let (created, permitted, updated, deleted) = tokio::try_join!(
        inject_each(matrix, Create),
        inject_each(matrix, CreateByAccount),
        inject_each(matrix, Update),
        inject_each(matrix, Delete),
    )?;
    let mut all = vec![created, permitted, updated, deleted];
    if quick_or_full(false, true) {
        let (one, two, three) = tokio::try_join!(
            inject_each(matrix, Drift),
            inject_each(matrix, Move),
            inject_each(matrix, Replace),
        )?;
        all.extend([one, two, three]);
        let (one, two, three) = tokio::try_join!(
            inject_each(matrix, RemoveMarker),
            inject_each(matrix, RemoveMarkerAndDelete),
            inject_each(matrix, Select),
        )?;
        all.extend([one, two, three]);
        let (one, two) =
            tokio::try_join!(inject_each(matrix, Adopt), inject_each(matrix, Conflict))?;
        all.extend([one, two]);
    }
    let mut results = Results { runs: Vec::new(), failures: Vec::new() };
    for some in all {
        results.runs.extend(some.runs);
        results.failures.extend(some.failures);
    }
    Ok(results)
}

#[tokio::test]
async fn every_fault_at_every_request_is_survived() -> Result<()> {
    let matrix = Matrix::start().await?;
    let is_over = AtomicBool::new(false);
    let (results, slowest) = tokio::join!(
        async {
            let results = run_scenarios(&matrix).await;
            is_over.store(true, Ordering::Relaxed);
            results
        },
        slowest_edit(&matrix, &is_over),
    );
    let Results { runs, mut failures } = results?;
    let slowest = slowest.context("the ConfigMapSync without faults")?;
    eprintln!("{} runs; the slowest edit without faults took {slowest:.1?}", runs.len());
    failures.extend(matrix.judge(&runs).await?);
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
