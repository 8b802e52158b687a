//! Findings for people, and for programs.

use serde_json::json as object;

use crate::commands::check::Finding;
use crate::commands::check::Question;
use crate::commands::check::State;
use crate::commands::table::table;

/// The findings as a table.
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
    let (wrong, unknown) = (count(State::Wrong), count(State::Unknown));
    let summary = match (wrong, unknown) {
        (0, 0) => "All is well.".to_owned(),
        _ => format!("Of {} checks, {wrong} are wrong, {unknown} unknown.", findings.len()),
    };
    format!("{}{summary}\n", table(["CHECK", "SUBJECT", "STATE", "MESSAGE"], &rows))
}

/// The findings as JSON.
///
/// # Errors
/// They cannot be written as JSON.
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
    let count = |state: State| findings.iter().filter(|it| it.state == state).count();
    let summary: serde_json::Map<_, _> =
        State::ALL.into_iter().map(|it| (it.as_str().to_owned(), count(it).into())).collect();
    let text = serde_json::to_string_pretty(&object!({"checks": checks, "summary": summary}));
    Ok(text? + "\n")
}

// === impl Question ===

impl Question {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Enforced => "enforced",
            Self::Permitted => "permitted",
            Self::Consented => "consented",
        }
    }
}

// === impl State ===

impl State {
    const ALL: [Self; 4] = [Self::Well, Self::Note, Self::Unknown, Self::Wrong];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(state: State) -> Finding {
        Finding::new(Question::Installed, "subject", state, "message")
    }

    #[test]
    fn what_is_unknown_is_not_well() {
        assert!(text(&[finding(State::Well), finding(State::Note)]).ends_with("All is well.\n"));
        let not_well = text(&[finding(State::Well), finding(State::Unknown)]);
        assert!(not_well.ends_with("Of 2 checks, 0 are wrong, 1 unknown.\n"), "{not_well}");
    }

    #[test]
    fn programs_get_every_check_and_every_count() {
        let text = json(&[finding(State::Wrong)]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["checks"][0]["state"], "wrong");
        assert_eq!(value["summary"], object!({"ok": 0, "note": 0, "unknown": 0, "wrong": 1}));
    }
}
