//! What `sslmode` means to libpq, with rustls: encryption without verification, verification of where a certificate comes
//! from, and of whose it is.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::names;
use crate::config::postgres_target::{PostgresTls, TlsMode, TlsRoot};

/// TLS towards one host, or in one line why there cannot be any.
pub fn connector(tls: &PostgresTls, host: &str) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: Vec<_> =
        [(tls.is_1_2_allowed, &rustls::version::TLS12), (tls.is_1_3_allowed, &rustls::version::TLS13)]
            .into_iter()
            .filter_map(|(is_allowed, version)| is_allowed.then_some(version))
            .collect();
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust::new(tls, host, Arc::clone(&provider))?));
    let mut config = match client_certificate(tls)? {
        Some((chain, key)) => {
            // Not `with_client_auth_cert`, which reads the certificate and refuses one of version 1.
            let key = provider.key_provider.load_private_key(key).map_err(|error| format!("sslkey: {error}"))?;
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
        }
        None => config.with_no_client_auth(),
    };
    config.enable_sni = tls.sends_name && ServerName::try_from(host).is_ok();
    Ok(MakeRustlsConnect::new(config))
}

/// For a connection without TLS, whose type has a place for it. It trusts nobody.
pub fn unused() -> Result<MakeRustlsConnect, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// As in libpq a file that does not exist is none, and a key that others may read is refused.
fn client_certificate(tls: &PostgresTls) -> Result<Option<Certificate>, String> {
    let Some(file) = tls.certificate.as_deref().filter(|file| file.exists()) else { return Ok(None) };
    let chain = certificates(file).map_err(|reason| format!("sslcert {}: {reason}", file.display()))?;
    let Some(key) = tls.key.as_deref() else {
        return Err(format!("sslcert {} has no key: set sslkey", file.display()));
    };
    let bad = |reason: String| format!("sslkey {}: {reason}", key.display());
    let metadata = fs::metadata(key).map_err(|error| bad(error.to_string()))?;
    let others = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(bad("others may read it; give it mode 0600".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(error.to_string()))?;
    Ok(Some((chain, key)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(certificates) }
}

/// Decides about the server's certificate.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    /// Whoever it is, the wire is encrypted.
    is_anybody_good: bool,
    roots: RootCertStore,
    /// The certificates that were named as roots. One that is the server's own is as good as its issuer.
    named: Vec<CertificateDer<'static>>,
    /// Whose it must be.
    host: Option<String>,
}

impl Trust {
    fn new(tls: &PostgresTls, host: &str, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut trust = Self {
            provider,
            is_anybody_good: false,
            roots: RootCertStore::empty(),
            named: Vec::new(),
            host: (tls.mode == TlsMode::VerifyFull).then(|| host.to_owned()),
        };
        match &tls.root {
            TlsRoot::Public => trust.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            TlsRoot::File(file) if file.exists() || tls.mode >= TlsMode::VerifyCa => {
                trust.named =
                    certificates(file).map_err(|reason| format!("sslrootcert {}: {reason}", file.display()))?;
                trust.roots.add_parsable_certificates(trust.named.iter().cloned());
            }
            TlsRoot::File(_) | TlsRoot::None => trust.is_anybody_good = true,
        }
        Ok(trust)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_anybody_good {
            return Ok(ServerCertVerified::assertion());
        }
        if self.named.contains(certificate) {
            if !names::is_current(certificate, now) {
                return Err(CertificateError::Expired.into());
            }
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let parsed = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        match &self.host {
            Some(host) if !names::is_for(certificate, host) => Err(CertificateError::NotValidForName.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    /// By the key alone: webpki reads no certificate of version 1, and those that it can read were read before.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let key = names::public_key(certificate).ok_or(CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
