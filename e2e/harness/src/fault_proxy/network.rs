//! The wire between a replica and the proxy, on which bytes stop, and which breaks.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::watch;

use crate::fault_proxy::lock::lock;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// What the replica sends.
    ToServer,
    /// What the replica is sent.
    ToReplica,
}

/// What befalls all connections of a replica, those to come included.
#[derive(Default)]
pub(super) struct Wires {
    blocked: Mutex<Blocked>,
    breaks: watch::Sender<usize>,
}

#[derive(Default)]
struct Blocked {
    directions: BTreeSet<Direction>,
    waiting: Vec<Waker>,
}

/// One connection.
pub(super) struct Wire<Stream> {
    stream: Stream,
    wires: Arc<Wires>,
}

// === impl Direction ===

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToReplica];
}

// === impl Wires ===

impl Wires {
    pub fn block(&self, directions: &[Direction]) {
        lock(&self.blocked).directions.extend(directions);
    }

    /// What was held up arrives now, in order.
    pub fn unblock(&self) {
        let waiting = {
            let mut blocked = lock(&self.blocked);
            blocked.directions.clear();
            std::mem::take(&mut blocked.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Breaks every connection that there is.
    pub fn break_all(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Waits until connections that there are now are broken.
    pub fn broken(&self) -> impl Future<Output = ()> + use<> {
        let mut breaks = self.breaks.subscribe();
        async move {
            if breaks.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether bytes may go this way; if not, the task is woken when they may.
    fn pass(&self, direction: Direction, context: &Context<'_>) -> Poll<()> {
        let mut blocked = lock(&self.blocked);
        if !blocked.directions.contains(&direction) {
            return Poll::Ready(());
        }
        if !blocked.waiting.iter().any(|it| it.will_wake(context.waker())) {
            blocked.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

// === impl Wire ===

impl<Stream> Wire<Stream> {
    pub const fn new(stream: Stream, wires: Arc<Wires>) -> Self {
        Self { stream, wires }
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Wire<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.wires.pass(Direction::ToServer, context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for Wire<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.wires.pass(Direction::ToReplica, context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// That a connection ends is not heard either.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.wires.pass(Direction::ToReplica, context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::io::DuplexStream;
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);

    fn wire() -> (Arc<Wires>, Wire<DuplexStream>, DuplexStream) {
        let wires = Arc::<Wires>::default();
        let (near, far) = tokio::io::duplex(64);
        (Arc::clone(&wires), Wire::new(near, wires), far)
    }

    #[tokio::test]
    async fn what_is_blocked_arrives_when_it_is_no_longer() {
        let (wires, mut near, mut far) = wire();
        wires.block(&[Direction::ToServer]);
        far.write_all(b"asked").await.unwrap();
        let mut bytes = [0; 5];
        assert!(timeout(MOMENT, near.read_exact(&mut bytes)).await.is_err());
        let (read, ()) = tokio::join!(near.read_exact(&mut bytes), async { wires.unblock() });
        assert_eq!((read.unwrap(), &bytes), (5, b"asked"));
    }

    #[tokio::test]
    async fn one_direction_may_be_blocked_alone() {
        let (wires, mut near, mut far) = wire();
        wires.block(&[Direction::ToReplica]);
        assert!(timeout(MOMENT, near.write_all(b"answer")).await.is_err());
        far.write_all(b"asked").await.unwrap();
        let mut bytes = [0; 5];
        assert_eq!(timeout(MOMENT, near.read_exact(&mut bytes)).await.unwrap().unwrap(), 5);
    }

    #[tokio::test]
    async fn only_connections_that_there_are_break() {
        let (wires, ..) = wire();
        let broken = wires.broken();
        wires.break_all();
        assert!(timeout(MOMENT, broken).await.is_ok());
        assert!(timeout(MOMENT, wires.broken()).await.is_err());
    }
}
