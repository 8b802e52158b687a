//! A sandbox leaves nothing behind: no process, mount, interface or control group.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use e2e::sandbox::Footprint;
use e2e::sandbox::Sandbox;

/// Set for a program that is to hold a sandbox until it is killed.
const HOLD: &str = "CONFIGMAPSYNC_HOLD_SANDBOX";
/// What such a program prints before it tells which.
const HELD: &str = "held: ";

/// Opens a sandbox and fills it: a mount, a detached process, control groups with it inside.
async fn filled() -> anyhow::Result<Sandbox> {
    let sandbox = Sandbox::open().await?;
    let script = "mount -t tmpfs tmpfs /mnt
        setsid sleep 1000 >/dev/null 2>&1 &
        for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
            [ -e $hierarchy/cgroup.procs ] || continue
            mkdir -p $hierarchy/$0/pod/container || continue
            echo $! >$hierarchy/$0/pod/container/cgroup.procs
        done 2>/dev/null
        true";
    e2e::command::run(sandbox.command("bash").args(["-c", script, sandbox.control_group()]))
        .await?;
    Ok(sandbox)
}

/// The kernel removes interfaces and dead processes within moments, but not at once.
fn assert_nothing_remains(footprint: &Footprint) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !footprint.remains().is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:#?}", footprint.remains());
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_closed_sandbox() {
    let sandbox = filled().await.unwrap();
    let footprint = sandbox.footprint().clone();
    let seen = footprint.remains().join("\n");
    for kind in ["process", "interface", "control group"] {
        assert!(seen.contains(kind), "the test sees no {kind} before the end:\n{seen}");
    }
    sandbox.close().unwrap();
    assert_nothing_remains(&footprint);
}

#[tokio::test]
async fn nothing_is_left_of_a_sandbox_whose_program_is_killed() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "holds_a_sandbox_until_it_is_killed"])
        .env(HOLD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.into_iter().find_map(|line| line.strip_prefix(HELD).map(str::to_owned));
    let footprint: Footprint = serde_json::from_str(&line.expect("no sandbox")).unwrap();
    assert!(footprint.remains().len() > 3, "seen before the end: {:#?}", footprint.remains());
    holder.kill().unwrap(); // SIGKILL
    holder.wait().unwrap();
    assert_nothing_remains(&footprint);
}

#[tokio::test]
#[ignore = "the other half of the test above, which starts it in a process of its own"]
async fn holds_a_sandbox_until_it_is_killed() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let sandbox = filled().await.unwrap();
    println!("{HELD}{}", serde_json::to_string(sandbox.footprint()).unwrap());
    std::future::pending::<()>().await;
}
