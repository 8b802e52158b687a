//! The chaos run: the operator under random faults of the API server, of the network and of its own
//! replicas, while users edit, delete and restore what it works on. All is drawn from a seed.
//!
//! Every minute, the oracles check every write since the last minute. After the last fault, every
//! `ConfigMapSync` must be Ready or state why not, all copies must be correct, nothing more may be
//! written, and the leader's memory must not have grown.
//!
//! | module | contents |
//! |---|---|
//! | `options` | the command line |
//! | `workload` | `ConfigMapSync`s of every shape |
//! | `chaos_cluster` | the cluster, its replicas behind fault proxies, a quota and a mutating policy |
//! | `user_edit`, `disturbance` | what users do; what goes wrong |
//! | `checks`, `memory_use` | what must hold |
//! | `run`, `summary` | one run, and its outcome as a table |

mod chaos_cluster;
mod checks;
mod disturbance;
mod memory_use;
mod options;
mod run;
mod summary;
mod user_edit;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;
use testbed::terminal::Screen;

use crate::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    Screen::title(&format!("{} minutes of chaos, seed {seed}", options.minutes));
    match run::run(&options, seed).await {
        Ok(outcome) if summary::print(&outcome) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nThe chaos run failed: {error:#}; repeat it with --seed {seed}");
            ExitCode::from(2)
        }
    }
}
