//! Sends the writes of one page, several at a time.

use futures::StreamExt as _;
use futures::stream;

use crate::kubernetes::error::CallError;

/// How many writes are in flight at a time.
const CONCURRENT_WRITES: usize = 16;

/// The outcome of writes.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// How many succeeded.
    pub written: usize,
    /// How many met another version of the object: list again.
    pub conflicts: usize,
    /// The messages of the other failures.
    pub failures: Vec<String>,
}

// === impl BatchResult ===

impl BatchResult {
    /// One conflict, and nothing written.
    pub fn conflict() -> Self {
        Self { conflicts: 1, ..Self::default() }
    }

    /// Sends each of `writes` with `send`, adds up the outcomes, and calls `succeeded` for each
    /// write that succeeds.
    pub async fn send<T>(
        &mut self,
        writes: Vec<T>,
        send: impl AsyncFn(&T) -> Result<(), CallError>,
        mut succeeded: impl FnMut(&T),
    ) {
        let calls = writes.iter().map(async |write| (write, send(write).await));
        let mut outcomes = stream::iter(calls).buffer_unordered(CONCURRENT_WRITES);
        while let Some((write, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => {
                    self.written += 1;
                    succeeded(write);
                }
                Err(CallError::Conflict(_)) => self.conflicts += 1,
                Err(CallError::Failed(failed) | CallError::Fenced(failed)) => {
                    self.failures.push(failed.failure.message);
                }
                Err(CallError::NotLeading(error)) => self.failures.push(error.to_string()),
            }
        }
    }
}
