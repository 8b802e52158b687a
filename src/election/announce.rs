//! Announcing, and staying announced.

use std::time::Duration;

use tokio::time::sleep;

use crate::election::Election;
use crate::election::Lead;
use crate::election::Lost;
use crate::election::announcement::Announced;
use crate::election::announcement::Found;
use crate::election::clock::boot_time;
use crate::election::lease::Answer;

/// Part of health that tells whether the leader could announce itself.
const HEALTH_PART: &str = "announcement";
/// How often the leader makes sure that it is still announced.
const CHECK_PERIOD: Duration = Duration::from_secs(30);

impl Election {
    /// Announces that we lead, which has to be done before the first write of a term. The term, or
    /// `None` where this cluster takes no announcement: then the leader does without, and says so.
    /// It may take long: the Lease has to be [held](Election::hold) meanwhile.
    ///
    /// # Errors
    /// The Lease is no longer ours.
    pub async fn announce(&self, lead: &Lead) -> Result<Option<i64>, Lost> {
        loop {
            let before = match self.announcement.look().await {
                Found::Ours(term) => return Ok(Some(self.announced(term))),
                Found::Unusable(why) => {
                    tracing::warn!(
                        error = why,
                        "leading without an announcement: a leader before us that does not know \
                         of its end is not kept from writing by the API server"
                    );
                    self.health.set(HEALTH_PART, Ok(()));
                    return Ok(None);
                }
                Found::Another(another) => Some(Some(another)),
                Found::Nobody => Some(None),
                Found::Unknown(why) => {
                    self.cannot_announce(&why);
                    None
                }
            };
            // Only whoever holds the Lease after it has looked may replace what it saw.
            let is_ours = self.confirm(lead).await?;
            if let (true, Some(before)) = (is_ours, before) {
                match self.announcement.replace(before.as_ref()).await {
                    Announced::Done(term) => return Ok(Some(self.announced(term))),
                    Announced::Changed => continue,
                    Announced::Failed(why) => self.cannot_announce(&why),
                }
            }
            sleep(self.settings.retry_period).await;
        }
    }

    /// Makes sure, from the announcement on, that it stays. Ends `lead` if somebody else is
    /// announced, and tells who.
    pub async fn stay_announced(&self, lead: &Lead) -> Lost {
        let lost = loop {
            sleep(CHECK_PERIOD).await;
            match self.announcement.look().await {
                Found::Another(another) => break Lost::ToAnnounced(another.holder),
                Found::Nobody => {
                    tracing::warn!("the announcement of the leader is missing: announcing again");
                    if let Err(lost) = self.announce(lead).await {
                        break lost;
                    }
                }
                Found::Ours(_) | Found::Unusable(_) | Found::Unknown(_) => {}
            }
        };
        lead.end();
        lost
    }

    /// Renews the Lease once. Whether it is ours for certain.
    ///
    /// # Errors
    /// It is not, or our time is over.
    pub(super) async fn confirm(&self, lead: &Lead) -> Result<bool, Lost> {
        let asked_at = boot_time();
        let answer = self.ask().await;
        if answer == Answer::Ours {
            lead.extend(asked_at + self.settings.renew_deadline);
        }
        match answer {
            Answer::Held(holder) => Err(Lost::To(holder)),
            _ if lead.remaining().is_err() => Err(lead.why_it_ended()),
            answer => Ok(answer == Answer::Ours),
        }
    }

    fn announced(&self, term: i64) -> i64 {
        self.health.set(HEALTH_PART, Ok(()));
        self.metrics.term_is(term);
        tracing::info!(term, "announced as the leader");
        term
    }

    fn cannot_announce(&self, why: &str) {
        if self.health.set(HEALTH_PART, Err(why.to_owned())) {
            tracing::warn!(
                error = why,
                "cannot announce the leader, and nothing is written before; trying again until \
                 it works"
            );
        }
    }
}
