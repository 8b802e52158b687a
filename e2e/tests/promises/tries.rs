//! Tables of what somebody tries and what the API server answers.

use anyhow::Result;
use anyhow::ensure;
use harness::attempt::Answer;
use harness::attempt::Attempt;
use kube::Client;

/// What has to come of a try.
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// It is let through.
    Passes,
    /// The policy of this name refuses it, as forbidden.
    RefusedBy(&'a str),
    /// It is answered with this status, by no policy.
    Code(u16),
}

use Expected::Code;
use Expected::Passes;
use Expected::RefusedBy;

/// What was tried, what came of it, and what should not have.
#[derive(Default)]
pub struct Tries {
    rows: Vec<String>,
    wrong: Vec<String>,
}

impl Tries {
    /// Tries it as `client`, whom the table calls `who`.
    pub async fn add(
        &mut self,
        (who, client): (&str, &Client),
        attempt: &Attempt,
        expected: Expected<'_>,
    ) -> Result<Answer> {
        let answer = attempt.by(client).await?;
        let as_expected = match expected {
            Passes => answer.passed(),
            RefusedBy(policy) => answer.is_refused_by(policy),
            Code(code) => answer.code == code && !answer.message.contains("AdmissionPolicy"),
        };
        let row = format!("| {who} | {} | {answer} |", attempt.what);
        if !as_expected {
            self.wrong.push(format!("{row} expected: {expected:?}"));
        }
        self.rows.push(row);
        Ok(answer)
    }

    /// Prints the table.
    pub fn finish(self) -> Result<()> {
        println!("| who | tries to | answer |\n|---|---|---|\n{}", self.rows.join("\n"));
        ensure!(!self.rows.is_empty(), "nothing was tried");
        ensure!(self.wrong.is_empty(), "not as expected:\n{}", self.wrong.join("\n"));
        Ok(())
    }
}
