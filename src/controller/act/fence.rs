//! What to do where the fence refuses.
//!
//! It compares us with the announcement, which may have been replaced: then we are deposed. Or the
//! API server has not heard of ours yet: then it will in a moment.

use std::time::Duration;
use std::time::Instant;

use tokio::time::sleep;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::Context;
use crate::controller::act::Sent;
use crate::decide::Action;
use crate::election::Lead;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;

/// How long an API server may take to hear of an announcement.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before another attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// Carries one step out; tries again for a while where the fence refuses although we are announced.
///
/// # Errors
/// We no longer lead: that may have come out only now.
pub async fn send(
    context: &Context,
    lead: &Lead,
    at: &NamespacedName,
    action: &Action,
) -> Result<Sent, NotLeading> {
    let began = Instant::now();
    loop {
        let sent = super::send(context, lead, at, action).await?;
        if !matches!(sent, Err(CallError::Fenced(_))) {
            return Ok(sent);
        }
        context.leader_record.verify(lead).await;
        lead.remaining()?;
        if began.elapsed() >= PATIENCE {
            return Ok(sent);
        }
        sleep(PAUSE).await;
    }
}
