//! The one thread that starts all processes: the kernel kills them when it ends.

use std::io;
use std::process::Child;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use anyhow::Result;
use parking_lot::Mutex;

type Reply = mpsc::Sender<io::Result<Child>>;

static JOBS: LazyLock<Mutex<mpsc::Sender<(Command, Reply)>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<(Command, Reply)>();
    // Ends with this program: the sender in this static is never dropped.
    thread::spawn(move || {
        for (mut command, reply) in jobs {
            // If the caller is gone, the child is dropped; the kernel kills it with this thread.
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

pub(super) fn spawn(command: Command) -> Result<Child> {
    let (reply, result) = mpsc::channel();
    let jobs = JOBS.lock();
    jobs.send((command, reply)).ok().context("the thread that starts processes is gone")?;
    drop(jobs);
    Ok(result.recv().context("the thread that starts processes is gone")??)
}
