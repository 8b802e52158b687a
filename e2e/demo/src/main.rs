//! The demo, as a program.

use std::process::ExitCode;

use clap::Parser;
use demo::Interrupted;
use demo::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match demo::run(&Options::parse()).await {
        Ok(_) => ExitCode::SUCCESS,
        // As shells count a program that Ctrl-C ended.
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
