//! Cancels reads once the process is stopping: it must not wait for their responses.

use std::future::Future;

use tokio::sync::watch;

use crate::kubernetes::error::NotLeading;

/// Whether reads are cancelled. Clones share the state.
#[derive(Clone, Debug)]
pub struct Cancellation(watch::Sender<bool>);

// === impl Cancellation ===

impl Default for Cancellation {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Cancellation {
    /// Cancels all reads, those in progress and later ones.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Completes `reads`, unless they are cancelled.
    ///
    /// # Errors
    /// They are cancelled, since the process is stopping.
    pub async fn unless_cancelled<T>(
        &self,
        reads: impl Future<Output = T>,
    ) -> Result<T, NotLeading> {
        let mut cancelled = self.0.subscribe();
        tokio::select! {
            output = reads => Ok(output),
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(NotLeading),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::pending;

    use super::*;

    #[tokio::test]
    async fn reads_in_progress_and_later_ones_are_cancelled() {
        let cancellation = Cancellation::default();
        assert_eq!(cancellation.unless_cancelled(async { 7 }).await, Ok(7));
        let reading = cancellation.unless_cancelled(pending::<()>());
        let (read, ()) = tokio::join!(reading, async { cancellation.cancel() });
        assert_eq!(read, Err(NotLeading));
        assert_eq!(cancellation.unless_cancelled(pending::<()>()).await, Err(NotLeading));
    }
}
