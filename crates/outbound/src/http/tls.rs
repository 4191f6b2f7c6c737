//! TLS: ring, the platform's roots, and private authorities besides.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tracing::warn;

use super::error::BuildError;

pub(crate) fn client_config(extra_roots_pem: &[Vec<u8>]) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Tls)?;
    let extra = read_roots(extra_roots_pem)?;
    let mut config = match Verifier::new_with_extra_roots(extra.certificates, provider) {
        Ok(verifier) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Err(error) => {
            // A bare container without CA files: plain http still works, and https says "untrusted".
            warn!(%error, "no root certificates found on this machine, so no public https server is trusted");
            builder.with_root_certificates(extra.store).with_no_client_auth()
        }
    };
    // Two calls at a time gain nothing from HTTP/2, which is much code.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

struct ExtraRoots {
    certificates: Vec<CertificateDer<'static>>,
    store: RootCertStore,
}

fn read_roots(pems: &[Vec<u8>]) -> Result<ExtraRoots, BuildError> {
    let mut roots = ExtraRoots { certificates: Vec::new(), store: RootCertStore::empty() };
    for (index, pem) in pems.iter().enumerate() {
        let before = roots.certificates.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|error| BuildError::ExtraRoot { index, source: Some(error.into()) })?;
            let added = roots.store.add(certificate.clone());
            added.map_err(|error| BuildError::ExtraRoot { index, source: Some(error.into()) })?;
            roots.certificates.push(certificate);
        }
        if roots.certificates.len() == before {
            return Err(BuildError::ExtraRoot { index, source: None });
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_no_certificates_are_refused() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = client_config(&[pem.as_bytes().to_vec()]).err();
            assert!(matches!(error, Some(BuildError::ExtraRoot { index: 0, .. })), "{pem}: {error:?}");
        }
    }
}
