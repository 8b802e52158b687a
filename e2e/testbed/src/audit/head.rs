//! The beginning of a line of the audit log: the id of the request, and its stage.

use serde::Deserialize;

/// The stage of a request that was received and not yet processed.
pub(crate) const RECEIVED: &str = "RequestReceived";
/// The stage of a request whose response has begun.
pub(super) const STARTED: &str = "ResponseStarted";

/// The field that follows those of a [`Head`] in the line.
const NEXT: &[u8] = br#","requestURI":"#;

/// The id of a request, and its stage.
#[derive(Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Head {
    #[serde(rename = "auditID")]
    pub request: String,
    pub stage: String,
}

impl Head {
    /// Reads the head of `line`. `None` if the line is not an event, such as a line that a killed API
    /// server left incomplete.
    ///
    /// Parsing a whole line, only to skip the request and response bodies, takes at least three times
    /// as long. The order of the fields is that of the API server's struct; if it changes, the whole
    /// line is parsed.
    pub fn of(line: &[u8]) -> Option<Self> {
        Self::at_the_beginning(line).or_else(|| serde_json::from_slice(line).ok())
    }

    /// Whether this is the last line about its request.
    pub fn has_ended(&self) -> bool {
        ![RECEIVED, STARTED].contains(&self.stage.as_str())
    }

    fn at_the_beginning(line: &[u8]) -> Option<Self> {
        let end = line.windows(NEXT.len()).position(|bytes| bytes == NEXT)?;
        serde_json::from_slice(&[&line[..end], b"}"].concat()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: &str, stage: &str) -> Head {
        Head { request: request.to_owned(), stage: stage.to_owned() }
    }

    #[test]
    fn only_the_head_of_a_line_is_parsed() {
        let line = br#"{"kind":"Event","auditID":"1","stage":"Panic","requestURI": and so on"#;
        assert_eq!(Head::of(line), Some(head("1", "Panic")));
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let line = br#"{"stage":"Panic","requestURI":"/","verb":"get","auditID":"1"}"#;
        assert_eq!(Head::of(line), Some(head("1", "Panic")));
    }

    #[test]
    fn a_line_that_is_not_an_event_has_no_head() {
        assert_eq!(Head::of(br#"{"kind":"Event","aud{"kind":"Event","auditID":"1"}"#), None);
    }
}
