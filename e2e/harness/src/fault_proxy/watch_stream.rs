//! Forwards the response of a watch to the replica, line by line.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Error;
use anyhow::anyhow;
use futures::stream;
use http_body_util::BodyExt as _;
use http_body_util::StreamBody;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::fault_proxy::proxy_state::ProxyState;
use crate::fault_proxy::response_body::Body;
use crate::fault_proxy::watch_control::Treatment;

type Sender = mpsc::Sender<Result<Frame<Bytes>, Error>>;

/// The lines that have been received and not yet forwarded.
#[derive(Default)]
struct Lines {
    /// An incomplete line.
    partial: Vec<u8>,
    /// Complete lines, each with whether it is the event of an object.
    held: VecDeque<(Bytes, bool)>,
    events: usize,
}

/// The response body of a watch of `resource`, forwarded from the API server.
pub(super) fn lines(state: Arc<ProxyState>, resource: String, from: Incoming) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(forward(state, resource, from, sender));
    let frames = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Ends when either side ends; a silenced watch only when it is cut or the replica closes it. Lines that
/// are held back when the watch ends are dropped: the replica watches again from the last version that
/// it received.
async fn forward(state: Arc<ProxyState>, resource: String, mut from: Incoming, to: Sender) {
    let mut treatments = state.watches.treatments();
    let treatment =
        |all: &BTreeMap<String, Treatment>| all.get(&resource).copied().unwrap_or_default();
    let first = treatment(&treatments.borrow_and_update());
    let (mut lines, mut has_ended) = (Lines::default(), false);
    loop {
        let now = treatment(&treatments.borrow_and_update());
        if now.cuts != first.cuts {
            let _ = to.send(Err(anyhow!("the test cuts the watch"))).await;
            return;
        }
        let is_silent = now.silences != first.silences;
        while !is_silent && let Some(line) = lines.next_beyond(now.lag) {
            if to.send(Ok(Frame::data(line))).await.is_err() {
                return;
            }
        }
        tokio::select! {
            frame = from.frame(), if !has_ended => match frame {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    lines.add(&bytes, |line| state.watches.record(&resource, line));
                }
                _ if is_silent => has_ended = true,
                _ => return,
            },
            changed = treatments.changed() => if changed.is_err() { return },
            // The replica has closed the connection.
            () = to.closed() => return,
        }
    }
}

impl Lines {
    fn add(&mut self, bytes: &[u8], mut is_event: impl FnMut(&[u8]) -> bool) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = Bytes::from(std::mem::take(&mut self.partial));
                let is_event = is_event(&line);
                self.events += usize::from(is_event);
                self.held.push_back((line, is_event));
            }
        }
    }

    /// The oldest line, unless it is among the newest `lag` events.
    fn next_beyond(&mut self, lag: usize) -> Option<Bytes> {
        // Other lines, such as bookmarks, are forwarded with the event before them.
        let is_event = self.held.front()?.1;
        if is_event && self.events <= lag {
            return None;
        }
        let (line, _) = self.held.pop_front()?;
        self.events -= usize::from(is_event);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        let mut lines = Lines::default();
        // In pieces, as a network may deliver them.
        for piece in text.as_bytes().chunks(3) {
            lines.add(piece, |line| line.starts_with(b"e"));
        }
        lines
    }

    fn all_beyond(lines: &mut Lines, lag: usize) -> String {
        std::iter::from_fn(|| lines.next_beyond(lag))
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn complete_lines_are_forwarded_without_lag() {
        assert_eq!(all_beyond(&mut lines("e1\nbookmark\ne2\ne3"), 0), "e1\nbookmark\ne2\n");
    }

    #[test]
    fn lag_holds_back_the_newest_events() {
        let mut lines = lines("e1\nb1\ne2\nb2\ne3\nb3\n");
        assert_eq!(all_beyond(&mut lines, 2), "e1\nb1\n");
        assert_eq!(all_beyond(&mut lines, 0), "e2\nb2\ne3\nb3\n");
    }
}
