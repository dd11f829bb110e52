//! Certificates for the simulator and the tests: an authority of its own and a leaf that it signed.
//!
//! A simulator that spoke only plain `ws://` would leave TLS, the largest part of a real connection, unexercised; one
//! that made the client skip verification would teach the wrong habit. So it makes an authority on the spot, and the
//! client is given that authority's certificate as its only root.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A server's certificate chain and key, and the authority to trust for it. All PEM.
#[derive(Clone)]
pub struct TestCertificate {
    /// The authority's certificate: the client's root.
    pub authority_pem: String,
    /// The leaf's certificate: what the server shows.
    pub certificate_pem: String,
    /// The leaf's private key (PKCS#8).
    pub key_pem: String,
}

/// The certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to make a test certificate for {names:?}")]
pub struct CertificateError {
    names: Vec<String>,
    source: rcgen::Error,
}

impl TestCertificate {
    /// Makes an authority and a leaf that is valid for `names` (host names or IP addresses) from a day before `now` for
    /// thirty days.
    pub fn generate<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self::try_generate(&names, now).map_err(|source| CertificateError { names, source })
    }

    fn try_generate(names: &[String], now: SystemTime) -> Result<Self, rcgen::Error> {
        let (not_before, not_after) = (now - DAY, now + DAY * 30);

        let mut authority = CertificateParams::new(Vec::new())?;
        authority
            .distinguished_name
            .push(DnType::CommonName, "QuantumFlow test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.not_before = not_before.into();
        authority.not_after = not_after.into();
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::new(names.to_vec())?;
        leaf.distinguished_name
            .push(DnType::CommonName, "QuantumFlow simulator");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = not_before.into();
        leaf.not_after = not_after.into();
        let key = KeyPair::generate()?;
        let certificate_pem = leaf.signed_by(&key, &issuer)?.pem();

        Ok(Self {
            authority_pem,
            certificate_pem,
            key_pem: key.serialize_pem(),
        })
    }
}

impl std::fmt::Debug for TestCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
