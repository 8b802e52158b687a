//! What a check has found.

use crate::kubernetes::error::ApiFailure;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The question that it answers.
    pub question: Question,
    /// What was checked.
    pub subject: String,
    /// The state of the subject.
    pub state: FindingState,
    /// What was observed and, unless it is as it should be, what to do.
    pub message: String,
}

/// What the user wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Question {
    /// Is everything installed, and does a replica lead?
    Installed,
    /// Are the admission policies in force?
    Enforced,
    /// Does the operator have its permissions?
    Permitted,
    /// Were the permissions of the authors of ConfigMapSyncs checked?
    Consented,
}

/// The state of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Ok,
    /// It works, but should be reviewed.
    Warning,
    /// It could not be checked.
    Unknown,
    /// Not as it should be.
    Wrong,
}

// === impl Finding ===

impl Finding {
    /// A finding about `subject`.
    pub fn new(
        question: Question,
        subject: &str,
        state: FindingState,
        message: impl Into<String>,
    ) -> Self {
        Self { question, subject: subject.to_owned(), state, message: message.into() }
    }

    /// `subject` could not be read.
    pub fn unknown(question: Question, subject: &str, error: &kube::Error) -> Self {
        let failed = ApiFailure::of(&format!("read {subject}"), error);
        Self::new(question, subject, FindingState::Unknown, failed.failure.message)
    }
}

// === impl Question ===

impl Question {
    /// Its name in the output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

// === impl FindingState ===

impl FindingState {
    /// Its name in the output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
