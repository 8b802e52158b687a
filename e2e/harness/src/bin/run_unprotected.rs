//! Runs the operator without the protections of leader election: see [`harness::unprotected`].

use std::process::ExitCode;

use clap::Parser;
use harness::unprotected;
use harness::unprotected::Flags;

#[tokio::main]
async fn main() -> ExitCode {
    match unprotected::run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
