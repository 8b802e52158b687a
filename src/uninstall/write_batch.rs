//! Writes the objects of one page, several at a time, and each a limited number of times.

use futures::StreamExt as _;
use futures::stream;

use crate::api::namespaced_name::NamespacedName;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;

/// How many writes are in flight at a time.
const CONCURRENT_WRITES: usize = 16;
/// How often one object is tried: before each further try, it is read and decided again.
const TRIES: u32 = 10;

/// How the objects of one kind are written.
pub trait Writer {
    /// One write.
    type Write;

    /// The object that it changes.
    fn object<'a>(&self, write: &'a Self::Write) -> &'a NamespacedName;

    /// Sends it.
    async fn send(&self, write: &Self::Write) -> Result<(), CallError>;

    /// Reads the object again. Returns the write that it requires now, if any.
    async fn decide_again(&self, write: &Self::Write) -> kube::Result<Option<Self::Write>>;
}

/// The outcome of writes.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// How many objects were written.
    pub written: usize,
    /// The objects that could not be written, and why.
    pub refused: Vec<(NamespacedName, String)>,
}

// === impl BatchResult ===

impl BatchResult {
    /// Whether no object required a write.
    pub const fn is_empty(&self) -> bool {
        self.written == 0 && self.refused.is_empty()
    }

    /// Sends each write of `all`, adds up the outcomes, and calls `succeeded` for each write that
    /// succeeds. One that fails does not stop the others.
    pub async fn send<W: Writer>(
        &mut self,
        writer: &W,
        all: Vec<W::Write>,
        mut succeeded: impl FnMut(&W::Write),
    ) {
        let calls = all.into_iter().map(|write| settle(writer, write));
        let mut outcomes = stream::iter(calls).buffer_unordered(CONCURRENT_WRITES);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(Some(write)) => {
                    self.written += 1;
                    succeeded(&write);
                }
                Ok(None) => {}
                Err(refused) => self.refused.push(refused),
            }
        }
    }
}

/// Sends a write until it succeeds, is not required any more, or is refused. Returns the write that
/// has succeeded.
async fn settle<W: Writer>(
    writer: &W,
    mut write: W::Write,
) -> Result<Option<W::Write>, (NamespacedName, String)> {
    let mut tries = 1;
    loop {
        let (failure, is_changed) = match writer.send(&write).await {
            Ok(()) => return Ok(Some(write)),
            Err(CallError::Conflict(failure)) => (failure, true),
            Err(CallError::Failed(failure) | CallError::Fenced(failure)) => {
                // A JSON patch whose test fails is an invalid request.
                let is_changed = failure.is_invalid();
                (failure, is_changed)
            }
            Err(CallError::NotLeading(error)) => (ApiFailure::transient(error.to_string()), false),
        };
        let refused = |message: String| (writer.object(&write).clone(), message);
        if !is_changed || tries == TRIES {
            return Err(refused(failure.failure.message));
        }
        tries += 1;
        match writer.decide_again(&write).await {
            Ok(Some(again)) => write = again,
            Ok(None) => return Ok(None),
            Err(error) => {
                let attempt = format!("read {} again", writer.object(&write));
                return Err(refused(ApiFailure::of(&attempt, &error).failure.message));
            }
        }
    }
}
