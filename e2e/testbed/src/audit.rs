//! What was asked of the API server, by whom, and what it answered: read from its audit log.

mod event;
mod head;
mod open;
mod used_permissions;

pub use crate::audit::event::Event;
pub use crate::audit::event::lines;
pub(crate) use crate::audit::head::RECEIVED;
pub(crate) use crate::audit::used_permissions::UsedPermissions;
pub use crate::audit::used_permissions::granted;
pub use crate::audit::used_permissions::limited;
pub use crate::audit::used_permissions::used_by;

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::time::sleep;

use crate::audit::open::Awaited;
use crate::audit::open::Open;
use crate::wait::Seen;
use crate::wait::until;

/// Prefix of the names that [`AuditLog::mark`] requests; no object has such a name.
const MARK: &str = "e2e-mark-";

/// Pause between two checks whether the operator's requests have ended.
const PAUSE: Duration = Duration::from_millis(10);
/// Number of checks: five seconds in all. Checks are counted instead of measured by a clock, so that
/// a stall of the machine, in which the API server stalls too, does not count.
const CHECKS: usize = 500;

/// The audit log of one API server. Clones share what they have read.
#[derive(Clone)]
pub struct AuditLog {
    file: PathBuf,
    client: Client,
    open: Arc<Mutex<Open>>,
}

/// A position in the log, between two requests.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark(u64);

impl AuditLog {
    pub(crate) fn new(file: PathBuf, client: Client) -> Self {
        Self { file, client, open: Arc::default() }
    }

    /// The current end of the log: after every request of the operator whose effect was visible
    /// before the call.
    ///
    /// A write is visible as soon as etcd has it, but the API server writes its line in the log last.
    /// So a request of this method is awaited in the log, and then the end of each request of the
    /// operator that the API server received before it. Lines of other clients may still follow
    /// shortly after their responses.
    ///
    /// A request that takes the API server more than five seconds (etcd is frozen, a webhook is slow,
    /// the API server was killed) is given up: neither this mark nor a later one waits for it. If its
    /// line is written at all, it follows this mark.
    pub async fn mark(&self) -> Result<Mark> {
        let own = self.own_line().await?;
        let awaited = self.open().at(own.0, &self.file)?;
        self.end_of(awaited).await
    }

    /// Sends a request, and returns the end of its line.
    async fn own_line(&self) -> Result<Mark> {
        let start = Mark(std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len()));
        let name = format!("{MARK}{:016x}", fastrand::u64(..));
        Api::<ConfigMap>::namespaced(self.client.clone(), "default").get_opt(&name).await?;
        until(
            "the audit log contains the request of this mark",
            Duration::from_secs(10),
            || async {
                // Bytes: the log may have ended in the middle of a character.
                let bytes = read(&self.file, start)?;
                let at = bytes.windows(name.len()).position(|bytes| bytes == name.as_bytes());
                let rest = |at: usize| bytes[at..].iter().position(|byte| *byte == b'\n');
                let end = at.and_then(|at| Some(at + rest(at)? + 1));
                let found = end.map(|end| Mark(start.0 + end as u64));
                Ok(Seen::from_option(found, || format!("{} other bytes", bytes.len())))
            },
        )
        .await
    }

    /// The end of the last awaited request that ends in time.
    async fn end_of(&self, mut awaited: Awaited) -> Result<Mark> {
        for _ in 0..CHECKS {
            if awaited.all_ended(&self.file)? {
                return Ok(Mark(awaited.end()));
            }
            sleep(PAUSE).await;
        }
        self.open().forget(&awaited);
        Ok(Mark(awaited.end()))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }

    /// The requests answered since `mark`, in the order of the log: of the operator's, all whose
    /// effect could be seen before the call, and none whose effect could be seen before `mark` was
    /// called. See [`AuditLog::mark`] for those that the API server holds.
    pub async fn since(&self, mark: Mark) -> Result<Vec<Event>> {
        let end = self.mark().await?;
        let text = String::from_utf8(read(&self.file, mark)?)?;
        let length = usize::try_from(end.0 - mark.0)?;
        let lines = text.get(..length).context("the audit log was cut short")?.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).with_context(|| {
                    let start: String = line.chars().take(200).collect();
                    format!("a line of the audit log that is no event: {start}")
                })
            })
            // Our own marks are not what anybody asks about, nor what is not answered.
            .filter(|event: &Result<Event>| {
                !event.as_ref().is_ok_and(|event| is_mark(event) || event.stage == RECEIVED)
            })
            .collect()
    }
}

fn is_mark(event: &Event) -> bool {
    event.name().starts_with(MARK)
}

/// Whole lines: the last one may be half written.
fn read(file: &Path, from: Mark) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(from.0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read().with_context(|| format!("reading the audit log {}", file.display()))?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    Ok(bytes)
}
