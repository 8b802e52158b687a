//! The certificates that a collector is trusted by.

use std::fs;
use std::io;

use opentelemetry_otlp::tonic_types::transport::Certificate;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use reqwest::blocking::ClientBuilder;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::telemetry::export::environment::CertificateFile;

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read certificates from {}: set {} to a file with the certificate of the collector's \
     authority, in PEM format",
    .file.path.display(),
    .file.variable
)]
pub struct Error {
    file: CertificateFile,
    source: io::Error,
}

/// The certificates that a collector is trusted by.
#[derive(Debug)]
pub enum Roots {
    /// Those of the system.
    System,
    /// Those of a private authority, and no others. Without any, no collector is trusted.
    Only(Authority),
}

/// Certificates of an authority.
#[derive(Debug, Default)]
pub struct Authority {
    pem: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
}

// === impl Roots ===

impl Roots {
    /// TLS of the gRPC client.
    pub fn grpc(&self) -> ClientTlsConfig {
        match self {
            Self::System => ClientTlsConfig::new().with_native_roots(),
            Self::Only(authority) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem))
            }
        }
    }

    /// Configures TLS of the HTTP client.
    ///
    /// # Errors
    /// A certificate is invalid.
    pub fn http(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let Self::Only(authority) = self else { return Ok(builder) };
        let certificates = authority.certificates.iter();
        let certificates: reqwest::Result<Vec<_>> =
            certificates.map(|it| reqwest::Certificate::from_der(it)).collect();
        Ok(builder.tls_certs_only(certificates?))
    }
}

// === impl Authority ===

impl Authority {
    /// Reads the certificates of a file in PEM format.
    ///
    /// # Errors
    /// The file cannot be read, or has no certificate, or one that is invalid.
    pub fn read(file: &CertificateFile) -> Result<Self, Error> {
        let pem = fs::read(&file.path);
        let authority = pem.and_then(|pem| Self::parse(pem).map_err(io::Error::other));
        authority.map_err(|source| Error { file: file.clone(), source })
    }

    fn parse(pem: Vec<u8>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err("the file contains no certificate".into());
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone())?;
        }
        Ok(Self { pem, certificates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_valid_certificate_is_an_error() {
        let error = |text: &str| Authority::parse(text.into()).unwrap_err().to_string();
        assert!(error("").contains("no certificate"));
        assert!(error("no PEM at all").contains("no certificate"));
        let invalid = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(!error(invalid).is_empty());
    }
}
