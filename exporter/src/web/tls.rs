//! From a file's TLS section, with the PEM texts that it points to, to the settings of a TLS server.

use std::net::IpAddr;
use std::sync::Arc;

use rustls_stable::client::danger::HandshakeSignatureValid;
use rustls_stable::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls_stable::pki_types::pem::PemObject;
use rustls_stable::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_stable::server::WebPkiClientVerifier;
use rustls_stable::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls_stable::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion, version,
};

use super::file::{AllowedName, ClientAuth, Curve, TlsSection, Version};

/// What a section points to.
pub struct Pem {
    /// The certificate chain.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authorities of client certificates.
    pub client_ca: Option<Vec<u8>>,
}

/// Why a section cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct TlsError {
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

fn fault(key: &'static str) -> impl Fn(&dyn std::fmt::Display) -> TlsError {
    move |problem| TlsError {
        key,
        problem: problem.to_string(),
    }
}

/// The settings that `section` asks for.
///
/// # Errors
/// A certificate, key or combination of settings that cannot work.
pub fn server_config(section: &TlsSection, pem: Pem) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider(section)?);
    let chain = certificates(&pem.cert).map_err(|e| fault("cert_file")(&e))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key)
        .map_err(|e| fault("key_file")(&format!("holds no private key in PEM: {e}")))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(section)?)
        .map_err(|e| fault("cipher_suites")(&e))?;
    let builder = match client_verifier(section, pem.client_ca.as_deref(), &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| fault("key_file")(&format!("cannot be used with the certificate: {e}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("holds no certificate in PEM".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn provider(section: &TlsSection) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    // An empty list is no choice, as in Go.
    if let Some(names) = section.cipher_suites.as_ref().filter(|names| !names.is_empty()) {
        let chosen = names.iter().filter_map(|name| {
            let suites = ring::ALL_CIPHER_SUITES.iter();
            suites.copied().find(|s| s.tls13().is_none() && suite_name(s) == name.0)
        });
        let always = ring::ALL_CIPHER_SUITES.iter().filter(|s| s.tls13().is_some());
        provider.cipher_suites = always.copied().chain(chosen).collect();
    }
    if let Some(curves) = section.curve_preferences.as_ref().filter(|curves| !curves.is_empty()) {
        let group = |curve: &Curve| match curve {
            Curve::P256 => ring::kx_group::SECP256R1,
            Curve::P384 => ring::kx_group::SECP384R1,
            Curve::X25519 => ring::kx_group::X25519,
        };
        provider.kx_groups = curves.iter().map(group).collect();
    }
    Ok(provider)
}

fn versions(section: &TlsSection) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
    static NEWEST_FIRST: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    let min = section.min_version.unwrap_or(Version::Tls12);
    let max = section.max_version.unwrap_or(Version::Tls13);
    match (min, max) {
        (Version::Tls12, Version::Tls13) => Ok(&NEWEST_FIRST),
        (Version::Tls12, Version::Tls12) => Ok(&NEWEST_FIRST[1..]),
        (Version::Tls13, Version::Tls13) => Ok(&NEWEST_FIRST[..1]),
        (Version::Tls13, Version::Tls12) => Err(fault("max_version")(&"is older than min_version")),
    }
}

/// Whether a cipher suite can be served.
pub(super) fn is_suite(name: &str) -> bool {
    ring::ALL_CIPHER_SUITES.iter().any(|suite| suite_name(suite) == name)
}

/// The cipher suites of TLS 1.2 that can be served.
pub(super) fn suite_names_1_2() -> Vec<String> {
    let suites = ring::ALL_CIPHER_SUITES.iter();
    suites.filter(|s| s.tls13().is_none()).map(suite_name).collect()
}

/// The name as Go and IANA have it; rustls marks those of TLS 1.3 in theirs.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

fn client_verifier(
    section: &TlsSection,
    client_ca: Option<&[u8]>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let auth = section.client_auth_type.unwrap_or_default();
    let names = section.client_allowed_sans.as_deref();
    let mandatory = matches!(
        auth,
        ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert
    );
    if names.is_some() && !mandatory {
        let problem = "needs a client_auth_type of RequireAnyClientCert or RequireAndVerifyClientCert";
        return Err(fault("client_allowed_sans")(&problem));
    }
    let verified: Option<Arc<dyn ClientCertVerifier>> = match (auth, client_ca) {
        (ClientAuth::NoClientCert, None) => return Ok(None),
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(fault("client_auth_type")(
                &"is missing; without it client_ca_file has no use",
            ));
        }
        (ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert, _) => None,
        (ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert, None) => {
            return Err(fault("client_ca_file")(&"is missing, and client_auth_type needs it"));
        }
        (ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert, Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).map_err(|e| fault("client_ca_file")(&e))? {
                roots.add(authority).map_err(|e| fault("client_ca_file")(&e))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let builder = if mandatory {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            Some(builder.build().map_err(|e| fault("client_ca_file")(&e))?)
        }
    };
    Ok(Some(Arc::new(ClientVerifier {
        verified,
        mandatory,
        names: names.map(<[AllowedName]>::to_vec),
        algorithms: provider.signature_verification_algorithms,
    })))
}

/// What Go's five ways of asking for a client's certificate have in common: that the client holds its key is checked in
/// all of them.
#[derive(Debug)]
struct ClientVerifier {
    /// Checks the chain, where that is asked for.
    verified: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    /// One of these must be in the certificate.
    names: Option<Vec<AllowedName>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    fn has_allowed_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Some(names) = &self.names else { return true };
        let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
            return false;
        };
        names.iter().any(|AllowedName(name)| {
            // An exact comparison, as exporter-toolkit makes it: a wildcard in a certificate stands for itself.
            let address = name
                .parse::<IpAddr>()
                .map(|address| ServerName::IpAddress(address.into()));
            certificate.valid_dns_names().any(|dns| dns == name)
                || certificate.valid_uri_names().any(|uri| uri == name)
                || address.is_ok_and(|address| certificate.verify_is_valid_for_subject_name(&address).is_ok())
        })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verified
            .as_ref()
            .map_or(&[], |verified| verified.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(verified) = &self.verified {
            verified.verify_client_cert(certificate, intermediates, now)?;
        }
        if !self.has_allowed_name(certificate) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls_stable::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls_stable::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> Pem {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        Pem {
            cert: cert.pem().into_bytes(),
            key: signing_key.serialize_pem().into_bytes(),
            client_ca: None,
        }
    }

    fn section(yaml: &str) -> TlsSection {
        let text = format!("tls_server_config: {{{yaml}}}");
        let file = super::super::file::parse("web.yml".as_ref(), &text).unwrap_or_else(|e| panic!("{e}"));
        file.tls_server_config.unwrap()
    }

    fn error(yaml: &str, pem: Pem) -> String {
        server_config(&section(yaml), pem).unwrap_err().to_string()
    }

    #[test]
    fn suites_and_curves_are_those_that_were_chosen() {
        assert_eq!(suite_names_1_2().len(), 6);
        let chosen =
            section("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384], curve_preferences: [CurveP384]");
        let config = server_config(&chosen, pem()).unwrap();
        let provider = config.crypto_provider();
        let names: Vec<String> = provider.cipher_suites.iter().map(suite_name).collect();
        assert_eq!(names.len(), 4, "the three of TLS 1.3, and it: {names:?}");
        assert_eq!(names[3], "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
        assert_eq!(provider.kx_groups.len(), 1);
        assert!(config.ignore_client_order);
        let all = server_config(&section("cipher_suites: [], prefer_server_cipher_suites: false"), pem()).unwrap();
        assert_eq!(all.crypto_provider().cipher_suites.len(), 9);
        assert!(!all.ignore_client_order);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let ca = || Pem {
            client_ca: Some(pem().cert),
            ..pem()
        };
        let other_key = || Pem {
            key: pem().key,
            ..pem()
        };
        let without = |what: &str| match what {
            "cert" => Pem {
                cert: b"nothing".to_vec(),
                ..pem()
            },
            "key" => Pem {
                key: pem().cert,
                ..pem()
            },
            _ => Pem {
                client_ca: Some(Vec::new()),
                ..pem()
            },
        };
        for (yaml, pem, expected) in [
            ("", without("cert"), "cert_file: holds no certificate"),
            ("", without("key"), "key_file: holds no private key"),
            ("", other_key(), "key_file: cannot be used with the certificate"),
            (
                "client_auth_type: RequireAndVerifyClientCert",
                without("ca"),
                "client_ca_file: holds no certificate",
            ),
            (
                "min_version: TLS13, max_version: TLS12",
                pem(),
                "max_version: is older than min_version",
            ),
            (
                "max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]",
                pem(),
                "cipher_suites: ",
            ),
            (
                "client_auth_type: VerifyClientCertIfGiven",
                pem(),
                "client_ca_file: is missing",
            ),
            ("", ca(), "client_auth_type: is missing"),
            (
                "client_auth_type: RequestClientCert, client_allowed_sans: [a]",
                pem(),
                "client_allowed_sans: needs a client_auth_type",
            ),
        ] {
            let error = error(yaml, pem);
            assert!(error.starts_with(expected), "{yaml}: {error}");
        }
    }
}
