//! A sandbox leaves nothing behind: no process, mount, interface or control group.

mod support;

use anyhow::Result;
use testbed::pod_tests;
use testbed::sandbox::Sandbox;

/// Opens a sandbox and fills it: a mount, and a detached process in control groups of its own.
async fn filled() -> Result<Sandbox> {
    let sandbox = Sandbox::open().await?;
    let script = "mount -t tmpfs tmpfs /mnt
        setsid sleep 1000 >/dev/null 2>&1 &
        for group in $(find /sys/fs/cgroup -type d -name $0); do
            mkdir -p $group/pod/container
            echo $! >$group/pod/container/cgroup.procs
        done 2>/dev/null
        true";
    let mut command = sandbox.command("bash");
    testbed::command::run(command.args(["-c", script, sandbox.control_group()])).await?;
    Ok(sandbox)
}

#[tokio::test]
async fn nothing_is_left_of_a_closed_sandbox() {
    if pod_tests::are_skipped() {
        return;
    }
    let sandbox = filled().await.unwrap();
    let footprint = sandbox.footprint().clone();
    let seen = footprint.remains().join("\n");
    for kind in ["process", "interface", "control group"] {
        assert!(seen.contains(kind), "the test sees no {kind} before the end:\n{seen}");
    }
    sandbox.close().unwrap();
    support::assert_nothing_remains(&footprint);
}

#[test]
fn nothing_is_left_of_a_sandbox_whose_program_is_killed() {
    if pod_tests::are_skipped() {
        return;
    }
    let mut holder = support::start("holds_a_sandbox").unwrap();
    let seen = holder.footprint.remains();
    assert!(seen.len() > 3, "before the end: {seen:#?}");
    holder.kill().unwrap();
    support::assert_nothing_remains(&holder.footprint);
}

#[tokio::test]
#[ignore = "the other half of the test above, which starts it in a process of its own"]
async fn holds_a_sandbox() {
    if support::is_holder() {
        let sandbox = filled().await.unwrap();
        support::hold(sandbox.footprint()).await.unwrap();
    }
}
