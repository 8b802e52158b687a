//! Sends the writes of one page, a few at a time.

use futures::StreamExt as _;
use futures::stream;

use crate::kubernetes::error::CallError;

/// Writes under way at a time.
const CONCURRENT_WRITES: usize = 16;

/// What came of writes.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many succeeded.
    pub written: usize,
    /// How many met something else than was seen: look again.
    pub changed: usize,
    /// Why the others were refused.
    pub refused: Vec<String>,
}

// === impl Tally ===

impl Tally {
    /// Nothing was written, and something has changed.
    pub fn of_change() -> Self {
        Self { changed: 1, ..Self::default() }
    }

    /// Sends each of `writes`, and counts what comes of it; `succeeded` is told which did.
    pub async fn send<T>(
        &mut self,
        writes: Vec<T>,
        send: impl AsyncFn(&T) -> Result<(), CallError>,
        mut succeeded: impl FnMut(&T),
    ) {
        let calls = writes.iter().map(async |write| (write, send(write).await));
        let mut answers = stream::iter(calls).buffer_unordered(CONCURRENT_WRITES);
        while let Some((write, answer)) = answers.next().await {
            match answer {
                Ok(()) => {
                    self.written += 1;
                    succeeded(write);
                }
                Err(CallError::Conflict) => self.changed += 1,
                Err(CallError::Failed(refusal) | CallError::Fenced(refusal)) => {
                    self.refused.push(refusal.failure.message);
                }
                Err(CallError::NotLeading(error)) => self.refused.push(error.to_string()),
            }
        }
    }
}
