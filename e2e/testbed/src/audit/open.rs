//! The requests of the operator that were received and have not ended, according to the log.
//!
//! The audit policy records the receipt of requests for the operator's accounts only.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use crate::audit::head::Head;
use crate::audit::head::RECEIVED;

/// The open requests at one position in the log. The position only advances, so that each line of a
/// large log is read once.
#[derive(Debug, Default)]
pub(super) struct Open {
    place: u64,
    requests: BTreeSet<String>,
}

/// The requests that were open at one position in the log, and whose end is awaited.
#[derive(Debug)]
pub(super) struct Awaited {
    read: u64,
    end: u64,
    requests: BTreeSet<String>,
}

// === impl Open ===

impl Open {
    /// The open requests at `place`, the end of a line, or at a later position if another caller has
    /// read further.
    pub fn at(&mut self, place: u64, log: &Path) -> Result<Awaited> {
        let requests = &mut self.requests;
        self.place = each_line(log, self.place, place, |line, _| take(line, requests))?;
        Ok(Awaited { read: self.place, end: self.place, requests: self.requests.clone() })
    }

    /// Stops waiting for these requests.
    pub fn forget(&mut self, awaited: &Awaited) {
        self.requests.retain(|request| !awaited.requests.contains(request));
    }
}

// === impl Awaited ===

impl Awaited {
    /// Reads what was added to the log. `true` when all requests have ended.
    pub fn all_ended(&mut self, log: &Path) -> Result<bool> {
        if self.requests.is_empty() {
            return Ok(true);
        }
        let (requests, last) = (&mut self.requests, &mut self.end);
        self.read = each_line(log, self.read, u64::MAX, |line, end| {
            if ended(line).is_some_and(|request| requests.remove(&request)) {
                *last = end;
            }
        })?;
        Ok(self.requests.is_empty())
    }

    /// The end of the last awaited line.
    pub const fn end(&self) -> u64 {
        self.end
    }
}

/// Adds the request that a line records as received, or removes the one that it records as ended.
fn take(line: &[u8], open: &mut BTreeSet<String>) {
    match Head::of(line) {
        Some(head) if head.stage == RECEIVED => {
            open.insert(head.request);
        }
        Some(head) if head.has_ended() => {
            open.remove(&head.request);
        }
        _ => (),
    }
}

/// The request that a line says has ended.
fn ended(line: &[u8]) -> Option<String> {
    Head::of(line).filter(Head::has_ended).map(|head| head.request)
}

/// Shows `look` each whole line between two places, and where it ends. Returns where the last ended.
fn each_line(log: &Path, from: u64, to: u64, mut look: impl FnMut(&[u8], u64)) -> Result<u64> {
    let context = || format!("reading the audit log {}", log.display());
    let mut file = File::open(log).with_context(context)?;
    file.seek(SeekFrom::Start(from)).with_context(context)?;
    let mut file = BufReader::new(file);
    let (mut line, mut place) = (Vec::new(), from);
    while place < to {
        file.read_until(b'\n', &mut line).with_context(context)?;
        if !line.ends_with(b"\n") {
            break;
        }
        place += line.len() as u64;
        look(&line, place);
        line.clear();
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::audit::head::STARTED;

    /// A log of stages, and who is waited for in it.
    struct Log {
        file: NamedTempFile,
        open: Open,
    }

    impl Log {
        fn of(lines: &[(&str, &str)]) -> Self {
            let mut log = Self { file: NamedTempFile::new().unwrap(), open: Open::default() };
            log.add(lines);
            log
        }

        /// Returns where the log ends then.
        fn add(&mut self, lines: &[(&str, &str)]) -> u64 {
            for (request, stage) in lines {
                let head = format!(r#""kind":"Event","auditID":"{request}","stage":"{stage}""#);
                writeln!(self.file, r#"{{{head},"requestURI":"/"}}"#).unwrap();
            }
            self.end()
        }

        fn end(&self) -> u64 {
            self.file.as_file().metadata().unwrap().len()
        }

        fn awaited(&mut self) -> Awaited {
            self.open.at(self.end(), self.file.path()).unwrap()
        }

        fn names(&mut self) -> Vec<String> {
            self.awaited().requests.into_iter().collect()
        }
    }

    #[test]
    fn a_request_is_open_from_when_it_is_received_until_it_ends() {
        let mut log = Log::of(&[("a", RECEIVED), ("b", RECEIVED), ("other", "ResponseComplete")]);
        assert_eq!(log.names(), ["a", "b"]);
        log.add(&[("b", "ResponseComplete"), ("c", RECEIVED), ("a", STARTED)]);
        assert_eq!(log.names(), ["a", "c"]);
        log.add(&[("a", "Panic"), ("c", "ResponseComplete")]);
        assert!(log.names().is_empty());
    }

    #[test]
    fn only_what_was_open_is_waited_for_and_no_further() {
        let mut log = Log::of(&[("a", RECEIVED), ("b", RECEIVED)]);
        let mut awaited = log.awaited();
        assert!(!awaited.all_ended(log.file.path()).unwrap());
        assert_eq!(awaited.end(), log.end());
        let first = log.add(&[("c", RECEIVED), ("b", "ResponseComplete")]);
        log.add(&[("d", "ResponseComplete")]);
        assert!(!awaited.all_ended(log.file.path()).unwrap());
        assert_eq!(awaited.end(), first);
        let last = log.add(&[("a", "ResponseComplete")]);
        log.add(&[("c", "ResponseComplete")]);
        assert!(awaited.all_ended(log.file.path()).unwrap());
        assert_eq!(awaited.end(), last);
    }

    #[test]
    fn what_comes_after_the_place_is_not_open_at_it() {
        let mut log = Log::of(&[("a", RECEIVED)]);
        let place = log.end();
        log.add(&[("a", "ResponseComplete"), ("b", RECEIVED)]);
        let mut awaited = log.open.at(place, log.file.path()).unwrap();
        assert_eq!(awaited.requests, BTreeSet::from(["a".to_owned()]));
        assert!(awaited.all_ended(log.file.path()).unwrap());
        assert_eq!(log.names(), ["b"]);
    }

    #[test]
    fn what_is_forgotten_is_not_waited_for_again() {
        let mut log = Log::of(&[("a", RECEIVED)]);
        let awaited = log.awaited();
        log.add(&[("b", RECEIVED)]);
        log.awaited();
        log.open.forget(&awaited);
        assert_eq!(log.names(), ["b"]);
    }

    #[test]
    fn a_line_is_read_when_it_is_whole() {
        let mut log = Log::of(&[("a", RECEIVED)]);
        let whole = log.end();
        write!(log.file, r#"{{"auditID":"a","stage":"Response"#).unwrap();
        let mut awaited = log.awaited();
        assert_eq!(awaited.end(), whole);
        assert!(!awaited.all_ended(log.file.path()).unwrap());
        writeln!(log.file, r#"Complete","requestURI":"/"}}"#).unwrap();
        assert!(awaited.all_ended(log.file.path()).unwrap());
        assert!(log.names().is_empty());
    }
}
