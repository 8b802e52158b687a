//! The proxy's server side, for the replica: TCP, TLS, and HTTP/1.1.
//!
//! Each layer takes any stream from the one below: the network faults apply between TCP and TLS.

use std::net::TcpListener as Socket;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use testbed::certificates::KeyFiles;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::fault_proxy::exchange::Exchange;
use crate::fault_proxy::network::Connection;
use crate::fault_proxy::proxy_state::ProxyState;
use crate::fault_proxy::upstream::Upstream;

/// A socket, and the proxy's certificate.
pub(super) struct Listener {
    socket: Socket,
    tls: TlsAcceptor,
}

impl Listener {
    pub fn new(socket: Socket, files: &KeyFiles) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(&files.certificate)
            .with_context(|| format!("reading {}", files.certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .with_context(|| format!("reading {}", files.key.display()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Self { socket, tls: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Serves until the future is dropped, which closes all connections.
    pub async fn serve(self, upstream: Upstream, state: Arc<ProxyState>) {
        let Ok(socket) = TcpListener::from_std(self.socket) else { return };
        let upstream = Arc::new(upstream);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let _ = stream.set_nodelay(true);
                    let exchange = Exchange::new(Arc::clone(&upstream), Arc::clone(&state));
                    let broken = state.network.broken();
                    let stream = Connection::new(stream, Arc::clone(&state.network));
                    let serving = serve_connection(self.tls.clone(), stream, exchange);
                    connections.spawn(async {
                        tokio::select! {
                            () = serving => {}
                            () = broken => {}
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Errors are ignored: closed connections are part of the faults.
async fn serve_connection<Stream>(tls: TlsAcceptor, stream: Stream, exchange: Exchange)
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(stream) = tls.accept(stream).await else { return };
    let serve = service_fn(|request| exchange.run(request));
    // A request that has arrived is forwarded even if the replica has ended since: the API server may
    // receive a late write.
    let mut builder = http1::Builder::new();
    let _ = builder.half_close(true).serve_connection(TokioIo::new(stream), serve).await;
}
