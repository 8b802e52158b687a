//! The bench, as a program.

use std::process::ExitCode;

use clap::Parser;
use e2e::bench;
use e2e::bench::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match bench::run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nThe bench failed: {error:#}");
            ExitCode::from(2)
        }
    }
}
