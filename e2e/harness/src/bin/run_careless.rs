//! The careless operator, as a program.

use std::process::ExitCode;

use clap::Parser;
use harness::careless;
use harness::careless::Flags;

#[tokio::main]
async fn main() -> ExitCode {
    match careless::run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
