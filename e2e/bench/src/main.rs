//! The bench: what the operator costs, and how fast it is, next to what the API server can take.
//!
//! Everything is measured in one run against a real API server on the same machine, and told as a
//! ratio to what a raw writer gets out of that API server: numbers of two machines, or of two
//! runs, are not comparable. Calls are counted from the audit log, so they are exact. The operator
//! is one process; its memory and its processor time are its own.
//!
//! | module | what it is about |
//! |---|---|
//! | `options` | what can be asked for |
//! | `part`, `parts` | what is measured |
//! | `bench_cluster`, `measured_operator` | a cluster with namespaces, and the one operator in it |
//! | `bodies`, `writer`, `write_limit` | the raw writer, and how fast it is |
//! | `sources` | what is copied, and by which syncs |
//! | `stretch`, `calls`, `process_usage`, `measured` | what the audit log and the system tell of a stretch of time |
//! | `ledger`, `table`, `file` | what was measured, what was promised, and how both are shown |

mod bench_cluster;
mod bodies;
mod calls;
mod file;
mod ledger;
mod measured;
mod measured_operator;
mod options;
mod part;
mod parts;
mod process_usage;
mod sources;
mod stretch;
mod table;
mod write_limit;
mod writer;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser as _;
use testbed::control_plane::Recorded;
use testbed::terminal::Screen;
use testbed::terminal::shown;

use crate::bench_cluster::BenchCluster;
use crate::ledger::Ledger;
use crate::measured_operator::binary;
use crate::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nThe bench failed: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures what `options` ask for, prints the tables and writes the file. Whether every promise
/// that was judged is kept.
async fn run(options: &Options) -> Result<bool> {
    let began = Instant::now();
    let screen = Screen::new();
    Screen::title(
        "ConfigMapSync measured: one operator, a real API server, a raw writer beside it",
    );
    let binary = binary(&screen, options).await?;
    let mut ledger = Ledger::new(options);
    notes(&mut ledger);
    for recorded in [Recorded::Whole, Recorded::Counted] {
        let parts = options.parts_on(recorded);
        if parts.is_empty() {
            continue;
        }
        let mut cluster = BenchCluster::start(&screen, options, &binary, recorded).await?;
        for part in parts {
            parts::measure(part, &mut cluster, &mut ledger).await?;
        }
    }
    ledger.took(began.elapsed());
    table::print(&ledger);
    let file = file::write(options, &ledger)?;
    Screen::line(&format!("{}, in {}", file.display(), shown(began.elapsed())));
    Ok(ledger.is_kept())
}

/// What the numbers do not say by themselves.
fn notes(ledger: &mut Ledger) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    ledger.note(format!(
        "{cores} cores, shared by the API server, etcd, the controllers, the operator and this \
         program: only ratios within one run tell anything."
    ));
    ledger.note(
        "W: the raw writer with as many requests in flight as the operator (32), in the same \
         round, on the same namespaces, with no operator running, so that no watch costs it time.",
    );
    ledger.note(
        "time: from the answer to what began it to the answer of the last write of a copy, by the \
         clock of the audit log. KiB: bodies of requests and answers as the audit log holds them, \
         managedFields left out; what a watch tells is not in it.",
    );
    ledger.note(
        "CPU and memory are those of the operator's process, while it came to rest included.",
    );
}
