//! The beginning of a line of the audit log: which request it is about, and how far that has come.

use serde::Deserialize;

/// The stage of a request that has only arrived.
pub(crate) const RECEIVED: &str = "RequestReceived";
/// The stage of a request whose answer has begun.
pub(super) const STARTED: &str = "ResponseStarted";

/// What the API server writes after all that a [`Head`] holds.
const NEXT: &[u8] = br#","requestURI":"#;

/// Which request a line is about, and how far that has come.
#[derive(Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Head {
    #[serde(rename = "auditID")]
    pub request: String,
    pub stage: String,
}

impl Head {
    /// `None` for what is no event, such as a line that a killed API server has left half written.
    ///
    /// Every line of a log comes by here, and to read one to its end, just to skip what was sent and
    /// answered, takes three times as long where those are small, and ever longer where they are
    /// not. The order of the fields is that of the API server's struct; should it change, lines are
    /// read to their ends.
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
    fn a_line_is_read_no_further_than_its_head() {
        let line = br#"{"kind":"Event","auditID":"1","stage":"Panic","requestURI": and so on"#;
        assert_eq!(Head::of(line), Some(head("1", "Panic")));
    }

    #[test]
    fn fields_may_come_in_another_order() {
        let line = br#"{"stage":"Panic","requestURI":"/","verb":"get","auditID":"1"}"#;
        assert_eq!(Head::of(line), Some(head("1", "Panic")));
    }

    #[test]
    fn what_is_no_event_has_no_head() {
        assert_eq!(Head::of(br#"{"kind":"Event","aud{"kind":"Event","auditID":"1"}"#), None);
    }
}
