//! The socket of the endpoints.

use std::io;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use rustix::io::Errno;
use tokio::net::TcpListener;

/// Listens on `address`. On Linux, `[::]` includes all addresses of IPv4, unless the sysctl
/// `net.ipv6.bindv6only` is set (ipv6(7)); where the kernel has no IPv6, it stands for these alone.
///
/// # Errors
/// The address is in use or not available.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn all_addresses_include_those_of_ipv4() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
        if address.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).await.unwrap();
        }
    }

    #[test]
    fn a_kernel_without_ipv6_is_recognised() {
        for (errno, expected) in
            [(Errno::AFNOSUPPORT, true), (Errno::ADDRNOTAVAIL, true), (Errno::ADDRINUSE, false)]
        {
            assert_eq!(is_without_ipv6(&errno.into()), expected, "{errno}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error() {
        let first = listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let second = listen(first.local_addr().unwrap()).await;
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
