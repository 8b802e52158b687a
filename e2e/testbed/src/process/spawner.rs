//! The one thread that starts all processes, because they die with it.

use std::io;
use std::process::Child;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use anyhow::Result;

type Answer = mpsc::Sender<io::Result<Child>>;

static JOBS: LazyLock<Mutex<mpsc::Sender<(Command, Answer)>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<(Command, Answer)>();
    // Ends with the harness: the sender in this static is never dropped.
    thread::spawn(move || {
        for (mut command, answer) in jobs {
            // Whoever asked waits for the answer; if it is gone, dropping the child leaves it to
            // the kernel, which ends it with this thread.
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

pub(super) fn spawn(command: Command) -> Result<Child> {
    let (answer, result) = mpsc::channel();
    let jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.send((command, answer)).ok().context("the thread that starts processes is gone")?;
    drop(jobs);
    Ok(result.recv().context("the thread that starts processes is gone")??)
}
