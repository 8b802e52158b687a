//! The lines of a response, as they arrive.

use bytes::Buf as _;
use bytes::Bytes;
use bytes::BytesMut;
use http_body::Body;
use http_body_util::BodyExt as _;

/// A longer line takes its buffer with it.
const MAX_KEPT: usize = 64 * 1024;

/// The lines of a response. Empty lines are left out.
pub struct Lines<Received> {
    body: Received,
    received: BytesMut,
    /// How much of `received` is known to contain no end of a line.
    searched: usize,
}

// === impl Lines ===

impl<Received: Body<Data = Bytes> + Unpin> Lines<Received> {
    pub fn new(body: Received) -> Self {
        Self { body, received: BytesMut::new(), searched: 0 }
    }

    /// The next line, or `None` after the last one, which may be incomplete.
    pub async fn next(&mut self) -> Result<Option<BytesMut>, Received::Error> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else {
                self.searched = 0;
                return Ok(Some(self.received.split()).filter(|rest| !rest.is_empty()));
            };
            if let Ok(bytes) = frame?.into_data() {
                self.received.extend_from_slice(&bytes);
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        loop {
            let unsearched = &self.received[self.searched..];
            let Some(length) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.received.len();
                return None;
            };
            let line = self.received.split_to(self.searched + length);
            self.received.advance(1);
            self.searched = 0;
            if line.len() > MAX_KEPT {
                self.received = BytesMut::from(&self.received[..]);
            }
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    async fn lines(pieces: &'static [&'static str]) -> Vec<String> {
        let frames = pieces.iter().map(|piece| Frame::data(Bytes::from(*piece)));
        let frames = frames.map(Ok::<_, Infallible>);
        let mut lines = Lines::new(StreamBody::new(stream::iter(frames)));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn lines_are_joined_from_pieces() {
        assert_eq!(
            lines(&["on", "e\ntwo\n\r\n", "\nth", "r", "ee\n"]).await,
            ["one", "two", "three"]
        );
    }

    #[tokio::test]
    async fn an_incomplete_last_line_is_a_line() {
        assert_eq!(lines(&["one\ntw"]).await, ["one", "tw"]);
        assert_eq!(lines(&[]).await, Vec::<String>::new());
    }
}
