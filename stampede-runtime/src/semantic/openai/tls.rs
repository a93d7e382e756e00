//! Encryption.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Whom to trust about certificates.
pub(super) enum Trust<'a> {
    /// Those whom the system trusts.
    System,
    /// These alone, as PEM.
    These(&'a [u8]),
    /// Nobody: nothing is encrypted.
    Nobody,
}

/// The ciphers and certificates of one client. The process may have ciphers of its own, which have no say here: a library
/// that chose them for all would take that choice from the program.
pub(super) fn config(trust: &Trust<'_>) -> Result<ClientConfig, &'static str> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| "no version of TLS is there")?;
    let builder = match trust {
        Trust::System => builder.with_platform_verifier().map_err(|_| "the system trusts no certificates")?,
        Trust::These(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(pem: &[u8]) -> Result<RootCertStore, &'static str> {
    const UNREADABLE: &str = "they are no PEM that can be read";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| UNREADABLE)?).map_err(|_| UNREADABLE)?;
    }
    if roots.is_empty() { Err(UNREADABLE) } else { Ok(roots) }
}
