//! What an error says, in one line of limited length, and what to do about it.
//!
//! The text of a response can repeat what was sent or what is stored. If it repeats a value of a
//! `ConfigMap`, it is withheld as a whole: code, reason and the name of who rejected the call remain.

use kube::core::Status;

use crate::decide::Content;
use crate::decide::quotes::quotes;
use crate::decide::text::MAX_TEXT;
use crate::decide::text::cut;
use crate::kubernetes::error::causes::is_kind_missing;
use crate::kubernetes::error::causes::is_rbac_denial;
use crate::telemetry::describe;

/// Maximum length of a name or of a reason in a response.
const MAX_NAME: usize = 253;

/// The values of `ConfigMaps` that the text of a response may repeat.
#[derive(Debug)]
pub enum Values<'a> {
    /// None: the call is not about a `ConfigMap`, or does not send or change one.
    None,
    /// Those of these contents.
    Of(Vec<&'a Content>),
    /// Those of a `ConfigMap` that could not be read.
    Unknown,
}

/// Who rejected a call, according to the text of the response, and what it says.
#[derive(Debug, PartialEq, Eq)]
struct Rejection<'a> {
    /// The name with its kind, as the API server writes it; empty if the text names none.
    by: &'a str,
    /// The text of the one who rejected the call.
    text: &'a str,
}

/// The cause of an API error in one line, and what to do about it.
#[must_use]
pub fn explain(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => explain_status(status),
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
            format!("no response from the API server: {}", root_cause(error))
        }
        // Its text repeats what cannot be parsed.
        kube::Error::SerdeError(error) => format!(
            "the response of the API server cannot be parsed (line {}, column {})",
            error.line(),
            error.column()
        ),
        other => describe(other),
    };
    cut(MAX_TEXT, &text)
}

/// The cause of a `Status` in one line, and what to do about it.
#[must_use]
pub fn explain_status(status: &Status) -> String {
    explain_hiding(status, &Values::None)
}

/// As [`explain_status`], for a response that may repeat `values`.
pub(super) fn explain_hiding(status: &Status, values: &Values<'_>) -> String {
    let message = status.message.trim();
    let rejection = Rejection::of(message);
    let text = match values.why_withheld(rejection.text) {
        Some(why) => format!("{} ({why})", rejection.withheld(status)),
        None => message.to_owned(),
    };
    let explained = match status.code {
        code if message.is_empty() => format!("HTTP {code}"),
        401 => format!("{text}: the API server does not accept the credentials: renew them"),
        403 if is_rbac_denial(status) => format!("{text}: grant this permission"),
        404 if is_kind_missing(status) => format!("HTTP 404 for the kind or the path: {text}"),
        _ => text,
    };
    cut(MAX_TEXT, &explained)
}

// === impl Values ===

impl Values<'_> {
    /// Why a text must not be repeated; `None` if it may be.
    fn why_withheld(&self, text: &str) -> Option<&'static str> {
        match self {
            Self::Of(contents) if quotes(text, contents.iter().copied()) => {
                Some("message withheld: it quotes the ConfigMap")
            }
            Self::Unknown if !text.is_empty() => {
                Some("message withheld: it may quote the ConfigMap, which could not be read")
            }
            Self::None | Self::Of(_) | Self::Unknown => None,
        }
    }
}

// === impl Rejection ===

impl<'a> Rejection<'a> {
    /// Separates what the API server writes in front of the text of a policy, a webhook or a quota.
    /// A text of an authorizer, which has not seen the object, is empty.
    fn of(message: &'a str) -> Self {
        let rest = after_object(message);
        if rest.len() < message.len() && rest.starts_with("User \"") {
            return Self { by: "", text: "" };
        }
        let of_webhook = rest.strip_prefix("Internal error occurred: ").unwrap_or(rest);
        named(rest, "ValidatingAdmissionPolicy '", "' with binding '")
            .and_then(|(_, after)| Self::until(rest, name(after)?.1, "' denied request"))
            .or_else(|| {
                let (_, after) = named(rest, "admission webhook \"", "\"")?;
                Self::until(rest, after, " denied the request")
            })
            .or_else(|| {
                let (_, after) = named(of_webhook, "failed calling webhook \"", "\"")?;
                Self::until(of_webhook, after, "")
            })
            .or_else(|| {
                let (_, after) = named(rest, "exceeded quota: ", ",")?;
                Self::until(rest, after, "")
            })
            .unwrap_or(Self { by: "", text: rest })
    }

    /// `message` up to `after`, which must begin with `verb`: what follows is the text.
    fn until(message: &'a str, after: &'a str, verb: &str) -> Option<Self> {
        let text = after.strip_prefix(verb)?;
        let quote = usize::from(verb.starts_with('\''));
        let by = message[..message.len() - after.len() + quote].trim_end_matches(',');
        Some(Self { by, text })
    }

    /// What remains of a withheld text.
    fn withheld(&self, status: &Status) -> String {
        let reason = Some(status.reason.as_str())
            .filter(|it| it.len() <= MAX_NAME && it.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .unwrap_or_default();
        let code = format!("HTTP {} {reason}", status.code);
        match self.by {
            "" => code.trim_end().to_owned(),
            by => format!("{by}: {}", code.trim_end()),
        }
    }
}

/// What follows `RESOURCE "NAME" is forbidden: ` in a message; all of it, if it begins otherwise.
fn after_object(message: &str) -> &str {
    let is_resource = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-/".contains(&byte))
    };
    let Some((object, rest)) = message.split_once(" is forbidden: ") else { return message };
    let (resource, quoted) = object.split_once(' ').unwrap_or((object, "\"\""));
    let name = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    if is_resource(resource) && name.is_some_and(is_resource) { rest } else { message }
}

/// The name between `before` and `after` at the beginning of `text`, and what follows.
fn named<'a>(text: &'a str, before: &str, after: &str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = name(text.strip_prefix(before)?)?;
    Some((found, rest.strip_prefix(after)?))
}

/// The name of an object at the beginning of `text`, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let length = text.bytes().take_while(|byte| is_part(*byte)).count();
    ((1..=MAX_NAME).contains(&length)).then(|| text.split_at(length))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
