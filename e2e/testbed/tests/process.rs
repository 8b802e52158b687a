//! Child processes do as they are told.

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
async fn one_that_ends_tells_its_status_and_its_last_words() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = shell(&folder, "echo one; echo two >&2; exit 3").start()?;
    assert_eq!(process.wait_exit(SOON).await?.code(), Some(3));
    assert_eq!(process.tail(1), "two");
    assert!(process.expect_running().is_err());
    assert!(process.terminate().is_err(), "its id may belong to somebody else by now");
    Ok(())
}

#[tokio::test]
async fn one_that_does_not_exist_says_so_in_its_log() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = Program::new("/nonexistent/program", folder.path().join("log")).start()?;
    assert!(!process.wait_exit(SOON).await?.success());
    assert!(process.tail(5).contains("/nonexistent/program"), "{}", process.tail(5));
    Ok(())
}

#[tokio::test]
async fn one_that_is_frozen_does_nothing_until_it_thaws() -> Result<()> {
    let folder = RunFolder::create()?;
    // Bounded, in case it is left alone: some 100 s.
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
async fn the_environment_of_the_person_is_not_handed_on() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = shell(&folder, "env").environment("GIVEN", "1").start()?;
    process.wait_exit(SOON).await?;
    let log = process.tail(usize::MAX);
    assert!(log.lines().any(|line| line == "GIVEN=1"), "{log}");
    assert!(!log.contains("CARGO_"), "{log}");
    Ok(())
}

#[tokio::test]
async fn words_may_stand_before_the_program() -> Result<()> {
    let folder = RunFolder::create()?;
    let program = shell(&folder, "echo $GIVEN").prefix(["env", "GIVEN=2"]);
    program.start()?.wait_exit(SOON).await?;
    assert_eq!(std::fs::read_to_string(folder.path().join("log"))?, "2\n");
    Ok(())
}
