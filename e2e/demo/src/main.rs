//! The program `cargo demo`.

use std::process::ExitCode;

use clap::Parser;
use demo::Interrupted;
use demo::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.recording {
        None => demo::run(&options).await.map(|_| ()),
        Some(file) => demo::record(&options, file).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // 128 + SIGINT, as in shells.
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
