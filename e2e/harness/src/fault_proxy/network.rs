//! The network between a replica and the proxy: it can block bytes, and break connections.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::watch;

/// A direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the replica to the API server.
    ToServer,
    /// From the API server to the replica.
    ToReplica,
}

/// The state of the network: applies to all connections of a replica, existing and new.
#[derive(Default)]
pub(super) struct Network {
    blocked: Mutex<Blocked>,
    breaks: watch::Sender<usize>,
}

#[derive(Default)]
struct Blocked {
    directions: BTreeSet<Direction>,
    waiting: Vec<Waker>,
}

/// One connection of the replica, subject to the network's faults.
pub(super) struct Connection<Stream> {
    stream: Stream,
    network: Arc<Network>,
}

// === impl Direction ===

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToReplica];
}

// === impl Network ===

impl Network {
    pub fn block(&self, directions: &[Direction]) {
        self.blocked.lock().directions.extend(directions);
    }

    /// Delivers the blocked bytes, in order.
    pub fn unblock(&self) {
        let waiting = {
            let mut blocked = self.blocked.lock();
            blocked.directions.clear();
            std::mem::take(&mut blocked.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Breaks all existing connections.
    pub fn break_all(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Waits until the connections that exist at this call are broken.
    pub fn broken(&self) -> impl Future<Output = ()> + use<> {
        let mut breaks = self.breaks.subscribe();
        async move {
            if breaks.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ready if `direction` is not blocked; otherwise the task is woken when it is unblocked.
    fn poll_unblocked(&self, direction: Direction, context: &Context<'_>) -> Poll<()> {
        let mut blocked = self.blocked.lock();
        if !blocked.directions.contains(&direction) {
            return Poll::Ready(());
        }
        if !blocked.waiting.iter().any(|it| it.will_wake(context.waker())) {
            blocked.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

// === impl Connection ===

impl<Stream> Connection<Stream> {
    pub const fn new(stream: Stream, network: Arc<Network>) -> Self {
        Self { stream, network }
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Connection<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.network.poll_unblocked(Direction::ToServer, context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for Connection<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.network.poll_unblocked(Direction::ToReplica, context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// The end of a connection is blocked, too.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.network.poll_unblocked(Direction::ToReplica, context));
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

    fn connection() -> (Arc<Network>, Connection<DuplexStream>, DuplexStream) {
        let network = Arc::<Network>::default();
        let (near, far) = tokio::io::duplex(64);
        (Arc::clone(&network), Connection::new(near, network), far)
    }

    #[tokio::test]
    async fn blocked_bytes_arrive_after_unblocking() {
        let (network, mut near, mut far) = connection();
        network.block(&[Direction::ToServer]);
        far.write_all(b"bytes").await.unwrap();
        let mut bytes = [0; 5];
        assert!(timeout(MOMENT, near.read_exact(&mut bytes)).await.is_err());
        let (read, ()) = tokio::join!(near.read_exact(&mut bytes), async { network.unblock() });
        assert_eq!((read.unwrap(), &bytes), (5, b"bytes"));
    }

    #[tokio::test]
    async fn one_direction_can_be_blocked_alone() {
        let (network, mut near, mut far) = connection();
        network.block(&[Direction::ToReplica]);
        assert!(timeout(MOMENT, near.write_all(b"answer")).await.is_err());
        far.write_all(b"bytes").await.unwrap();
        let mut bytes = [0; 5];
        assert_eq!(timeout(MOMENT, near.read_exact(&mut bytes)).await.unwrap().unwrap(), 5);
    }

    #[tokio::test]
    async fn only_existing_connections_break() {
        let (network, ..) = connection();
        let broken = network.broken();
        network.break_all();
        assert!(timeout(MOMENT, broken).await.is_ok());
        assert!(timeout(MOMENT, network.broken()).await.is_err());
    }
}
