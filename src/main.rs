//! The binary: parses the command line and runs a subcommand.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::Parser as _;
use configmapsync::app;
use configmapsync::args::Arguments;
use configmapsync::args::Command;
use configmapsync::args::Manifests;
use configmapsync::args::Run;
use configmapsync::commands;
use configmapsync::manifests;
use configmapsync::telemetry;

/// The allocator of musl is slow with many threads. Version 2 of mimalloc returned more memory to
/// the system than version 3 after ten thousand reconciles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for wrong usage, the same as clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    match arguments.command {
        Command::Run(flags) => run(*flags),
        Command::Manifests(flags) => print_manifests(&flags),
        Command::Plan(flags) => command(commands::plan(&flags)),
        Command::Rights(flags) => command(commands::rights(&flags)),
        Command::Sweep(flags) => command(commands::sweep(&flags)),
        Command::Check(flags) => command(commands::check(&flags)),
        Command::Uninstall(flags) => command(commands::uninstall(&flags)),
        Command::Version => print(&format!("configmapsync {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Completions { shell } => {
            let mut completions = Vec::new();
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "configmapsync", &mut completions);
            print(&String::from_utf8_lossy(&completions))
        }
    }
}

/// Prints the help, or why the command line is invalid. For `plan`, exit code 2 means that there
/// are changes, so that wrong usage is 1.
fn explain(error: &clap::Error) -> ExitCode {
    // If stderr is closed, there is no other output to report it to.
    let _ = error.print();
    let is_plan = std::env::args_os().nth(1).is_some_and(|command| command == "plan");
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if is_plan => ExitCode::FAILURE,
        _ => ExitCode::from(USAGE),
    }
}

fn run(flags: Run) -> ExitCode {
    // The allocator requests huge pages, which count in full even if little of them is used: with
    // thousands of syncs this nearly doubles the memory. If it cannot be disabled, continue.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, ExitCode::FAILURE),
    };
    let result = runtime.block_on(app::run(flags));
    // Without waiting for blocking tasks.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ app::Error::Usage(_)) => fail(&error, ExitCode::from(USAGE)),
        Err(error) if error.is_logged() => ExitCode::FAILURE,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn command(command: impl Future<Output = Result<commands::Exit, commands::Error>>) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, ExitCode::FAILURE),
    };
    match runtime.block_on(command) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn print_manifests(flags: &Manifests) -> ExitCode {
    let result = match &flags.write {
        Some(root) => manifests::write(root).map(|()| String::new()),
        None => manifests::stream(),
    };
    match result {
        Ok(text) => print(&text),
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn print(text: &str) -> ExitCode {
    match commands::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn fail(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("configmapsync: {}", telemetry::describe(error));
    code
}
