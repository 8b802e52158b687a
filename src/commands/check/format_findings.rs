//! Findings as a table, and as JSON.

use serde_json::json as object;
use strum::VariantArray as _;

use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::table::table;

/// The findings as a table, and a summary.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let rows: Vec<_> = findings
        .iter()
        .map(|it| {
            let Finding { question, subject, state, message } = it;
            [question.as_str(), subject, state.as_str(), message].map(ToOwned::to_owned)
        })
        .collect();
    let count = |state| findings.iter().filter(|it| it.state == state).count();
    let (wrong, unknown) = (count(FindingState::Wrong), count(FindingState::Unknown));
    let summary = match (wrong, unknown, count(FindingState::Warning)) {
        (0, 0, 0) => "All checks passed.".to_owned(),
        (0, 0, warnings) => format!("All checks passed, {warnings} with a warning."),
        (wrong, unknown, warnings) => failed(findings.len(), wrong, unknown, warnings),
    };
    format!("{}{summary}\n", table(["CHECK", "SUBJECT", "STATE", "MESSAGE"], &rows))
}

fn failed(checks: usize, wrong: usize, unknown: usize, warnings: usize) -> String {
    let counts = [(wrong, "wrong"), (unknown, "unknown"), (warnings, "with a warning")];
    let mut counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let first = counts.next().map(|(count, what)| {
        let verb = if count == 1 { "is" } else { "are" };
        format!("{count} {verb} {what}")
    });
    let others = counts.map(|(count, what)| format!("{count} {what}"));
    let listed: Vec<_> = first.into_iter().chain(others).collect();
    let checks = if checks == 1 { "1 check".to_owned() } else { format!("{checks} checks") };
    format!("Of {checks}, {}.", listed.join(", "))
}

/// The findings as JSON, and their number by state.
///
/// # Errors
/// They cannot be serialized.
pub fn json(findings: &[Finding]) -> Result<String, serde_json::Error> {
    let checks: Vec<_> = findings
        .iter()
        .map(|it| {
            object!({
                "check": it.question.as_str(),
                "subject": it.subject,
                "state": it.state.as_str(),
                "message": it.message,
            })
        })
        .collect();
    let count = |state: FindingState| findings.iter().filter(|it| it.state == state).count();
    let summary: serde_json::Map<_, _> = FindingState::VARIANTS
        .iter()
        .map(|state| (state.as_str().to_owned(), count(*state).into()))
        .collect();
    let text = serde_json::to_string_pretty(&object!({"checks": checks, "summary": summary}));
    Ok(text? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::finding::Question;

    fn finding(state: FindingState) -> Finding {
        Finding::new(Question::Installed, "subject", state, "message")
    }

    #[test]
    fn an_unknown_state_does_not_pass() {
        assert!(text(&[finding(FindingState::Ok)]).ends_with("All checks passed.\n"));
        let warned = text(&[finding(FindingState::Ok), finding(FindingState::Warning)]);
        assert!(warned.ends_with("All checks passed, 1 with a warning.\n"), "{warned}");
        let unknown = text(&[finding(FindingState::Ok), finding(FindingState::Unknown)]);
        assert!(unknown.ends_with("Of 2 checks, 1 is unknown.\n"), "{unknown}");
    }

    #[test]
    fn one_and_many_are_counted_in_proper_english() {
        assert_eq!(failed(25, 1, 0, 0), "Of 25 checks, 1 is wrong.");
        assert_eq!(failed(25, 2, 1, 3), "Of 25 checks, 2 are wrong, 1 unknown, 3 with a warning.");
        assert_eq!(failed(25, 0, 1, 1), "Of 25 checks, 1 is unknown, 1 with a warning.");
        assert_eq!(failed(1, 1, 0, 0), "Of 1 check, 1 is wrong.");
    }

    #[test]
    fn json_contains_every_check_and_every_count() {
        let text = json(&[finding(FindingState::Wrong)]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["checks"][0]["state"], "wrong");
        assert_eq!(value["summary"], object!({"ok": 0, "warning": 0, "unknown": 0, "wrong": 1}));
    }
}
