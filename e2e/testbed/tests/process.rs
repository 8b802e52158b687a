//! Starting, stopping and observing child processes.

use std::time::Duration;

use anyhow::Result;
use testbed::process::Program;
use testbed::run_folder::RunFolder;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

const SOON: Duration = Duration::from_secs(10);

/// A shell that runs `script`.
fn shell(folder: &RunFolder, script: &str) -> Program {
    Program::new("sh", folder.path().join("log")).arguments(["-c", script])
}

#[tokio::test]
async fn an_ended_process_has_a_status_and_a_log() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = shell(&folder, "echo one; echo two >&2; exit 3").start()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(3));
    assert_eq!(process.tail(1), "two");
    assert!(process.expect_running().is_err());
    assert!(process.terminate().is_err(), "its pid may be reused by now");
    Ok(())
}

#[tokio::test]
async fn a_missing_program_is_reported_in_the_log() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = Program::new("/nonexistent/program", folder.path().join("log")).start()?;
    assert!(!process.wait_exit(SOON).await?.success());
    assert!(process.tail(5).contains("/nonexistent/program"), "{}", process.tail(5));
    Ok(())
}

#[tokio::test]
async fn a_frozen_process_does_nothing_until_thawed() -> Result<()> {
    let folder = RunFolder::create()?;
    // Bounded to some 100 s, in case it is left behind.
    let script = "n=0; while [ $n -lt 10000 ]; do n=$((n+1)); echo $n; sleep 0.01; done";
    let process = shell(&folder, script).start()?;
    let lines = || process.tail(usize::MAX).lines().count();
    let grown = |from| {
        until("it writes", SOON, move || async move {
            Ok(Seen::from_bool(lines() > from, || format!("{} lines", lines())))
        })
    };
    grown(0).await?;
    process.freeze()?;
    let frozen = lines();
    stays("it writes nothing", Duration::from_millis(300), || async {
        Ok(Seen::from_bool(lines() <= frozen + 1, || format!("{frozen}, then {}", lines())))
    })
    .await?;
    process.thaw()?;
    grown(frozen + 1).await?;
    process.kill()?;
    assert_eq!(process.exit_status()?.and_then(|status| status.code()), None, "by a signal");
    Ok(())
}

#[tokio::test]
async fn the_environment_of_the_user_is_not_inherited() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = shell(&folder, "env").environment("GIVEN", "1").start()?;
    process.wait_exit(SOON).await?;
    let log = process.tail(usize::MAX);
    assert!(log.lines().any(|line| line == "GIVEN=1"), "{log}");
    assert!(!log.contains("CARGO_"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_prefix_runs_before_the_program() -> Result<()> {
    let folder = RunFolder::create()?;
    let program = shell(&folder, "echo $GIVEN").prefix(["env", "GIVEN=2"]);
    program.start()?.wait_exit(SOON).await?;
    assert_eq!(std::fs::read_to_string(folder.path().join("log"))?, "2\n");
    Ok(())
}
