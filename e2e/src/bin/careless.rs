//! The careless operator, as a program.

use std::process::ExitCode;

use clap::Parser;
use e2e::careless;
use e2e::careless::Flags;

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
