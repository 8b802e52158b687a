//! Child processes that never outlive this program.
//!
//! Each is started with `setpriv --pdeathsig KILL`: the kernel kills it as soon as the thread that
//! started it ends, even by `kill -9`. Hence one thread, which lives as long as this program, starts
//! them all. Dropping a [`Process`] kills it too, and waits for its end.
//! Each leads a process group of its own, so that Ctrl-C reaches this program only.

mod spawner;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use rustix::process::Pid;
pub use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;

use crate::wait::Seen;
use crate::wait::until;

const DIE_WITH_PARENT: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// What to start: a program, its arguments, and where its output goes.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    prefix: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    log: PathBuf,
}

impl Program {
    /// A program whose standard output and error are appended to the file `log`.
    pub fn new(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            prefix: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: log.into(),
        }
    }

    /// Words to stand before the program, such as `nsenter --net=FILE --`.
    ///
    /// They should exec the program rather than fork it: signals go to the process started first.
    #[must_use]
    pub fn prefix<Word: Into<OsString>>(mut self, words: impl IntoIterator<Item = Word>) -> Self {
        self.prefix.extend(words.into_iter().map(Into::into));
        self
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn arguments<Word: Into<OsString>>(
        mut self,
        words: impl IntoIterator<Item = Word>,
    ) -> Self {
        self.arguments.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the program's environment. Only `PATH`, `HOME` and `TMPDIR` are inherited, so
    /// that the settings of a user do not change what is tested.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the program.
    pub fn start(&self) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("opening the log {}", self.log.display()))?;
        let mut words: Vec<&OsStr> = DIE_WITH_PARENT.iter().map(OsStr::new).collect();
        if !self.prefix.is_empty() {
            // Repeated after the prefix, which may fork: a child does not inherit the setting.
            words.extend(self.prefix.iter().map(OsString::as_os_str));
            words.extend(DIE_WITH_PARENT.iter().map(OsStr::new));
        }
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&self.path).args(&self.arguments);
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawner::spawn(command)
            .with_context(|| format!("starting {} by setpriv", self.path.display()))?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.context("the system gave a process no valid id")?;
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        Ok(Process {
            name: name.to_string_lossy().into_owned(),
            log: self.log.clone(),
            id,
            child: Mutex::new(child),
        })
    }
}

/// A child process, running or ended. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    id: Pid,
    child: Mutex<Child>,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// The file with its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its output.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // While the child is locked and not reaped, the kernel does not reuse its pid.
        let mut child = self.child();
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended already, with {status}", self.name);
        }
        rustix::process::kill_process(self.id, signal)
            .with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL, and waits for its end.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child().wait().with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(())
    }

    /// Sends SIGSTOP, and waits until all of its threads are stopped.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        // Its end counts, too. NOWAIT keeps both states for the next call and for `child`.
        let changes = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(self.id), changes)
            .with_context(|| format!("waiting until {} is frozen", self.name))?;
        Ok(())
    }

    /// Sends SIGCONT after [`Process::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.child().try_wait().with_context(|| format!("reading the exit status of {}", self.name))
    }

    /// Waits until it exits.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        until(format!("{} has ended", self.name), deadline, || async {
            Ok(Seen::from_option(self.exit_status()?, || {
                format!("it is running; the end of its log:\n{}", self.tail(10))
            }))
        })
        .await
    }

    /// Fails with the end of the log if it has ended. For use while waiting for it to start.
    pub fn expect_running(&self) -> Result<()> {
        if let Some(status) = self.exit_status()? {
            bail!("{} ended with {status}, the end of its log:\n{}", self.name, self.tail(20));
        }
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // Either it runs and dies of this, or it is gone: both is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }
}
