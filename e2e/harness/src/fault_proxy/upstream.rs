//! The proxy's client side, for the API server.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;
use http::Uri;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// The address of the API server, and the certificate authority to trust.
pub(super) struct Upstream {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
}

/// A connection to the API server. It is closed when the last handle is dropped.
pub(super) type Connection = SendRequest<Full<Bytes>>;

impl Upstream {
    pub fn new(server: &str, authority: &Path) -> Result<Self> {
        let server: Uri = server.parse().with_context(|| format!("parsing the URL {server}"))?;
        let host =
            server.host().with_context(|| format!("the URL {server} has no host"))?.to_owned();
        let certificate = CertificateDer::from_pem_file(authority)
            .with_context(|| format!("reading {}", authority.display()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            port: server.port_u16().unwrap_or(443),
            name: ServerName::try_from(host.clone())?,
            host,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The task ends when the handle is dropped, or the API server closes the connection.
        tokio::spawn(connection);
        Ok(sender)
    }
}
