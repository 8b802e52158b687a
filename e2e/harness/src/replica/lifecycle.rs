//! Stopping and starting a replica, as a kubelet would.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;

use crate::replica::Replica;

/// How long a replica may take to stop: longer than it allows itself, where its writes hang.
const STOP: Duration = Duration::from_secs(30);

impl Replica {
    /// Asks it to stop, and waits until it has, in peace.
    pub async fn terminate_and_wait(&self) -> Result<()> {
        self.process().terminate()?;
        let status = self.process().wait_exit(STOP).await?;
        ensure!(
            status.success(),
            "asked to stop, it ended with {status}:\n{}",
            self.process().tail(5)
        );
        Ok(())
    }

    /// Asks it to stop, waits until it has, and starts it again in the same pod.
    pub async fn terminate_and_restart(&mut self) -> Result<()> {
        self.terminate_and_wait().await?;
        self.restart()
    }
}
