//! The bench: the operator's resource use and speed, compared with the write rate of the API server.
//!
//! All is measured in one run against a real API server on the same machine. Speed is given as a ratio
//! to the rate of a raw writer, which only sends the same writes: absolute numbers of two machines, or
//! of two runs, are not comparable. Requests are counted from the audit log, so the counts are exact.
//! The operator is one process; its memory and CPU time are measured separately.
//!
//! | module | contents |
//! |---|---|
//! | `options` | the command line |
//! | `part`, `parts` | the parts of the bench |
//! | `bench_cluster`, `measured_operator` | a cluster with namespaces, and the measured operator in it |
//! | `raw_writer`, `write_requests`, `raw_write_rate` | the raw writer, its requests and its rate |
//! | `sources` | creating sources and `ConfigMapSync`s |
//! | `observation`, `request_counts`, `process_usage`, `measurement` | what is measured over a period |
//! | `scale_sizes` | the sizes of the part `scale` |
//! | `results`, `text_report`, `json_report` | the results and their bounds, and how they are shown |
//! | `figures`, `chart`, `machine` | the results as pictures |

mod bench_cluster;
mod chart;
mod collector;
mod figures;
mod json_report;
mod machine;
mod measured_operator;
mod measurement;
mod observation;
mod options;
mod part;
mod parts;
mod process_usage;
mod raw_write_rate;
mod raw_writer;
mod request_counts;
mod results;
mod scale_sizes;
mod sources;
mod text_report;
mod write_requests;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser as _;
use testbed::control_plane::Recorded;
use testbed::terminal::Screen;
use testbed::terminal::shown;

use crate::bench_cluster::BenchCluster;
use crate::measured_operator::binary;
use crate::options::Options;
use crate::results::Results;

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

/// Measures the selected parts, prints the tables and writes the JSON file. Returns whether every
/// checked bound is met.
async fn run(options: &Options) -> Result<bool> {
    let start = Instant::now();
    let screen = Screen::new();
    Screen::title(
        "ConfigMapSync bench: one operator, compared with a raw writer on the same API server",
    );
    let binary = binary(&screen, options).await?;
    let mut results = Results::new(options);
    notes(&mut results);
    for recorded in [Recorded::Whole, Recorded::Counted] {
        let parts = options.parts_on(recorded);
        if parts.is_empty() {
            continue;
        }
        let mut cluster = BenchCluster::start(&screen, options, &binary, recorded).await?;
        let version = cluster.control_plane.client().apiserver_version().await?;
        results.machine = machine::description(&version.git_version);
        for part in parts {
            parts::measure(part, &mut cluster, &mut results).await?;
        }
        if let Some(note) = cluster.exported()? {
            results.note(note);
        }
    }
    results.took(start.elapsed());
    text_report::print(&results);
    let file = json_report::write(options, &results)?;
    Screen::line(&format!("{}, in {}", file.display(), shown(start.elapsed())));
    if let Some(folder) = &options.plots {
        for file in figures::write(folder, &results.points, &results.machine)? {
            Screen::line(&file.display().to_string());
        }
    }
    Ok(results.is_kept())
}

/// Adds the notes that explain the tables.
fn notes(results: &mut Results) {
    results.note(
        "The API server, etcd, the controllers, the operator and the bench share all cores: only ratios \
         within one run are meaningful.",
    );
    results.note(
        "raw: the rate of the raw writer with as many requests in flight as the operator (32), in \
         the same repetition, on the same namespaces, without a running operator.",
    );
    results.note(
        "time: seconds from the response to the user's request to the response to the last write of \
         a copy, by the timestamps of the audit log. KiB: bodies of requests and responses in the \
         audit log, without managedFields and without watch events.",
    );
    results.note("CPU and memory: of the operator's process, until it is idle again.");
}
