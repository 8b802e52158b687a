//! Rejections by the fence.
//!
//! The fence compares the caller with the leader record. Either the record was replaced: then this
//! process no longer leads. Or the API server has not received ours yet: then it will shortly.

use std::time::Duration;
use std::time::Instant;

use tokio::time::sleep;

use crate::election::Lead;
use crate::election::LeaderRecord;
use crate::kubernetes::error::NotLeading;

/// How long an API server may take to receive a leader record.
const MAX_LAG: Duration = Duration::from_secs(5);
const RETRY_PERIOD: Duration = Duration::from_millis(250);

/// The time since a write was first sent.
#[derive(Clone, Copy, Debug)]
pub struct FenceLag {
    began: Instant,
}

// === impl FenceLag ===

impl FenceLag {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// After a rejection by the fence: waits for the next attempt. Returns whether to make it:
    /// the API server has not had the time to receive a leader record that names this process.
    ///
    /// # Errors
    /// This process no longer leads; the rejection may be what reveals it.
    pub async fn wait(self, record: &LeaderRecord, lead: &Lead) -> Result<bool, NotLeading> {
        record.verify(lead).await;
        lead.remaining()?;
        if self.began.elapsed() >= MAX_LAG {
            return Ok(false);
        }
        sleep(RETRY_PERIOD).await;
        Ok(true)
    }
}
