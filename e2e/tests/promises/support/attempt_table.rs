//! Tables of requests by different users, and the responses of the API server.

use anyhow::Result;
use anyhow::ensure;
use harness::attempt::Attempt;
use harness::attempt::AttemptResult;
use kube::Client;

/// The expected response.
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// Admitted.
    Passes,
    /// Refused as forbidden by the admission policy of this name.
    RefusedBy(&'a str),
    /// This HTTP status, not caused by an admission policy.
    Code(u16),
}

use Expected::Code;
use Expected::Passes;
use Expected::RefusedBy;

/// Attempts, their responses, and the unexpected ones among them.
#[derive(Default)]
pub struct AttemptTable {
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl AttemptTable {
    /// Makes the attempt with `client`, which the table calls `who`.
    pub async fn add(
        &mut self,
        (who, client): (&str, &Client),
        attempt: &Attempt,
        expected: Expected<'_>,
    ) -> Result<AttemptResult> {
        let response = attempt.send_as(client).await?;
        let as_expected = match expected {
            Passes => response.is_allowed(),
            RefusedBy(policy) => response.is_refused_by(policy),
            Code(code) => response.code == code && !response.message.contains("AdmissionPolicy"),
        };
        let row = format!("| {who} | {} | {response} |", attempt.what);
        if !as_expected {
            self.wrong.push(format!("{row} expected: {expected:?}"));
        }
        self.rows.push(row);
        Ok(response)
    }

    /// Prints the table. Fails on an unexpected response, and without attempts.
    pub fn finish(self) -> Result<()> {
        println!("| who | attempt | response |\n|---|---|---|\n{}", self.rows.join("\n"));
        ensure!(!self.rows.is_empty(), "no attempts were made");
        ensure!(self.wrong.is_empty(), "unexpected responses:\n{}", self.wrong.join("\n"));
        Ok(())
    }
}
