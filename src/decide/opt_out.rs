//! Annotations by which the owner of a source, or of a namespace, forbids copying.

use serde::Deserialize;
use serde::Serialize;

/// What such an annotation says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptOut {
    /// Absent, or `false`: copying is allowed.
    #[default]
    Allowed,
    /// `true`: copying is forbidden.
    Forbidden,
    /// Any other value: no data is copied, and nothing is deleted, until the owner corrects it.
    Unclear,
}

// === impl OptOut ===

impl OptOut {
    /// Interprets the value of the annotation. The case of the letters does not matter.
    #[must_use]
    pub fn of(annotation: Option<&str>) -> Self {
        match annotation {
            None => Self::Allowed,
            Some(value) if value.eq_ignore_ascii_case("false") => Self::Allowed,
            Some(value) if value.eq_ignore_ascii_case("true") => Self::Forbidden,
            Some(_) => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_and_false_are_understood() {
        for (values, expected) in [
            (&["true", "True", "TRUE"][..], OptOut::Forbidden),
            (&["false", "False", "FALSE"], OptOut::Allowed),
            (&["", "yes", "1", "no", " true", "true "], OptOut::Unclear),
        ] {
            for value in values {
                assert_eq!(OptOut::of(Some(value)), expected, "{value:?}");
            }
        }
        assert_eq!(OptOut::of(None), OptOut::Allowed);
    }
}
