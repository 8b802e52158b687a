//! The certificate authority of one cluster, and the certificates that it issues.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;

/// The files of a key pair: a certificate (or a public key), and its private key.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// The certificate; for a signing key, the public key.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate authority that stores the issued certificates in a directory.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates an authority, and its directory.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("configmapsync-e2e", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = folder.join("authority.crt");
        write(&certificate, &params.self_signed(&key)?.pem())?;
        Ok(Self { folder, certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Issues a client certificate for `user` in `groups`, for example `system:node:x` in
    /// `system:nodes`.
    pub fn issue_client(&self, name: &str, user: &str, groups: &[&str]) -> Result<KeyFiles> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(user, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(name, &params)
    }

    /// Issues a server certificate for `names`, which are DNS names and IP addresses.
    pub fn issue_server(&self, name: &str, names: &[String]) -> Result<KeyFiles> {
        let mut params = CertificateParams::new(names)
            .with_context(|| format!("issuing a certificate for {}", names.join(", ")))?;
        params.distinguished_name = subject(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, &params)
    }

    /// Creates a key pair for signing tokens, without a certificate.
    pub fn signing_key(&self, name: &str) -> Result<KeyFiles> {
        let key = KeyPair::generate()?;
        self.store(&format!("{name}.pub"), &key.public_key_pem(), name, &key)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Result<KeyFiles> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.store(&format!("{name}.crt"), &certificate.pem(), name, &key)
    }

    fn store(&self, public: &str, text: &str, name: &str, key: &KeyPair) -> Result<KeyFiles> {
        let files = KeyFiles {
            certificate: self.folder.join(public),
            key: self.folder.join(format!("{name}.key")),
        };
        write(&files.certificate, text)?;
        write(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

fn subject(user: &str, groups: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    for group in groups {
        name.push(DnType::OrganizationName, *group);
    }
    name
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
