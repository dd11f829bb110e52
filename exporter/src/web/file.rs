//! The file as it is written, before anything that it points to is read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::UserMessageFormatter;

use super::passwords::PasswordHash;

/// The whole file. Holds secrets: it has no `Debug`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebFile {
    /// TLS; the port speaks plain HTTP without it.
    pub tls_server_config: Option<TlsSection>,
    /// HTTP.
    pub http_server_config: Option<HttpSection>,
    /// Who may ask, by name; everybody, where there is none.
    pub basic_auth_users: Option<BTreeMap<String, PasswordHash>>,
    /// Not supported.
    #[serde(rename = "rate_limit")]
    _rate_limit: Option<RateLimit>,
}

/// `tls_server_config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate chain, as PEM text.
    pub cert: Option<String>,
    /// Its private key, as PEM text.
    pub key: Option<String>,
    /// The authorities of client certificates, as PEM text.
    pub client_ca: Option<String>,
    /// File of the certificate chain.
    pub cert_file: Option<String>,
    /// File of its private key.
    pub key_file: Option<String>,
    /// File of the authorities of client certificates.
    pub client_ca_file: Option<String>,
    /// Whether clients must show a certificate.
    pub client_auth_type: Option<ClientAuth>,
    /// Names of which a client's certificate must have one.
    pub client_allowed_sans: Option<Vec<AllowedName>>,
    /// Oldest version of the protocol.
    pub min_version: Option<Version>,
    /// Newest version of the protocol.
    pub max_version: Option<Version>,
    /// Cipher suites of TLS 1.2; those of TLS 1.3 cannot be chosen.
    pub cipher_suites: Option<Vec<Suite>>,
    /// Whether the order of `cipher_suites` counts, or the client's.
    pub prefer_server_cipher_suites: Option<bool>,
    /// Groups of the key exchange, best first.
    pub curve_preferences: Option<Vec<Curve>>,
}

/// `http_server_config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// Accepted, because every such file may have it; HTTP/1.1 is what is served.
    pub http2: Option<bool>,
    /// Lines for every answer.
    pub headers: Option<Headers>,
}

/// The header lines that may be set.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<HeaderValue>,
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<HeaderValue>,
    #[serde(rename = "X-Content-Type-Options")]
    x_content_type_options: Option<NoSniff>,
    #[serde(rename = "X-Frame-Options")]
    x_frame_options: Option<FrameOptions>,
    #[serde(rename = "X-XSS-Protection")]
    x_xss_protection: Option<HeaderValue>,
}

impl Headers {
    /// Names and values of those that are set; a blank value sets nothing.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<HeaderValue>| value.as_ref().map(|v| v.0.clone());
        let frame = self.x_frame_options.as_ref().map(|options| match options {
            FrameOptions::Deny => "deny".to_owned(),
            FrameOptions::SameOrigin => "sameorigin".to_owned(),
        });
        let sniff = self
            .x_content_type_options
            .as_ref()
            .map(|NoSniff::NoSniff| "nosniff".to_owned());
        [
            ("Content-Security-Policy", text(&self.content_security_policy)),
            ("Strict-Transport-Security", text(&self.strict_transport_security)),
            ("X-Content-Type-Options", sniff),
            ("X-Frame-Options", frame),
            ("X-XSS-Protection", text(&self.x_xss_protection)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect()
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HeaderValue(String);

impl TryFrom<String> for HeaderValue {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        let value = value.trim();
        if value.chars().any(char::is_control) {
            return Err("a header's value must be one line");
        }
        Ok(Self(value.to_owned()))
    }
}

#[derive(Deserialize)]
enum NoSniff {
    #[serde(rename = "nosniff")]
    NoSniff,
}

#[derive(Deserialize)]
enum FrameOptions {
    #[serde(rename = "deny")]
    Deny,
    #[serde(rename = "sameorigin")]
    SameOrigin,
}

/// `client_auth_type`, with Go's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClientAuth {
    /// Not asked for.
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    /// Asked for, and neither needed nor verified.
    RequestClientCert,
    /// Needed, and not verified.
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    /// Verified, where one is shown.
    VerifyClientCertIfGiven,
    /// Needed and verified.
    RequireAndVerifyClientCert,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(format!("{name} is broken and not supported here: use TLS12 or TLS13")),
            _ => Err(format!("unknown TLS version {name:?}: use TLS12 or TLS13")),
        }
    }
}

/// A cipher suite by its IANA name, as Go and the standards spell it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Suite(pub String);

impl TryFrom<String> for Suite {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if super::tls::is_suite(&name) {
            return Ok(Self(name));
        }
        let names = super::tls::suite_names_1_2().join(", ");
        Err(format!(
            "cipher suite {name:?} is not supported here; those of TLS 1.2 that are: {names}"
        ))
    }
}

/// `curve_preferences`, with Go's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Curve {
    /// NIST P-256
    P256,
    /// NIST P-384
    P384,
    /// Curve25519
    X25519,
}

impl TryFrom<String> for Curve {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "CurveP256" => Ok(Self::P256),
            "CurveP384" => Ok(Self::P384),
            "X25519" => Ok(Self::X25519),
            _ => Err(format!(
                "curve {name:?} is not supported here: use X25519, CurveP256 or CurveP384"
            )),
        }
    }
}

/// An entry of `client_allowed_sans`: a DNS name, an address or a URI.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedName(pub String);

impl TryFrom<String> for AllowedName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() {
            return Err("a name must not be empty".into());
        }
        if name.contains('@') && !name.contains("://") {
            return Err(format!(
                "e-mail name {name:?} is not supported here: use a DNS name, an address or a URI"
            ));
        }
        Ok(Self(name))
    }
}

struct RateLimit;

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(
            "rate_limit is not supported here: see --web.max-requests and --web.max-connections",
        ))
    }
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// In words, with file and line, and without the values of the lines, which may be secrets.
pub fn parse(path: &Path, text: &str) -> Result<WebFile, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    // An `Option`, because a file of nothing but comments holds nothing.
    serde_saphyr::from_str_with_options::<Option<WebFile>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| {
            let line = error.location().map(|at| at.line());
            let place = line.map_or(String::new(), |line| format!(":{line}"));
            let message = error.render_with_formatter(&UserMessageFormatter);
            // The place is said in front, where editors look for it.
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(message, _)| message);
            let key = line.and_then(|line| key_of(text.lines().nth(line.checked_sub(1)? as usize)?));
            match key.filter(|key| !message.contains(&format!("`{key}`"))) {
                Some(key) => format!("{}{place}: {key}: {message}", path.display()),
                None => format!("{}{place}: {message}", path.display()),
            }
        })
}

/// The key that a line begins with.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    let key = key.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (!key.is_empty() && key.bytes().all(plain)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let Err(error) = parse(Path::new("web.yml"), text) else {
            panic!("accepted: {text}")
        };
        error
    }

    #[test]
    fn a_file_may_be_empty_or_have_every_key() {
        for text in [
            "",
            "---\n",
            "# nothing\n",
            "tls_server_config:\nhttp_server_config:\n",
            "{}",
        ] {
            let file = parse(Path::new("web.yml"), text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert!(file.tls_server_config.is_none() && file.basic_auth_users.is_none());
        }
        let file = parse(
            Path::new("web.yml"),
            "tls_server_config:\n  cert_file: a.pem\n  key_file: a.key\n  client_ca_file: ca.pem\n\
             \x20 client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prom.example, 10.0.0.1, spiffe://a/b]\n\
             \x20 min_version: TLS12\n  max_version: TLS13\n  prefer_server_cipher_suites: false\n\
             \x20 cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_AES_128_GCM_SHA256\n\
             \x20 curve_preferences: [X25519, CurveP256, CurveP384]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n\
             \x20   Strict-Transport-Security: max-age=31536000\n    X-Content-Type-Options: nosniff\n\
             basic_auth_users:\n  prom: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n",
        )
        .unwrap_or_else(|e| panic!("{e}"));
        let tls = file.tls_server_config.unwrap();
        assert_eq!(tls.client_auth_type, Some(ClientAuth::RequireAndVerifyClientCert));
        assert_eq!(
            tls.curve_preferences,
            Some(vec![Curve::X25519, Curve::P256, Curve::P384])
        );
        assert_eq!(
            file.http_server_config.unwrap().headers.unwrap().lines(),
            [
                ("Strict-Transport-Security", "max-age=31536000".to_owned()),
                ("X-Content-Type-Options", "nosniff".to_owned()),
                ("X-Frame-Options", "deny".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_unknown_or_cannot_be_honoured_is_refused_with_file_line_and_key() {
        for (text, expected) in [
            ("tls_config:\n  a: b\n", "web.yml:1: unknown field `tls_config`"),
            (
                "tls_server_config:\n  certfile: a\n",
                "web.yml:2: unknown field `certfile`",
            ),
            (
                "tls_server_config:\n  min_version: TLS10\n",
                "web.yml:2: min_version: TLS10 is broken",
            ),
            (
                "tls_server_config:\n  max_version: TLS14\n",
                "web.yml:2: max_version: unknown TLS version \"TLS14\"",
            ),
            ("tls_server_config:\n  cert_file: [1]\n", "web.yml:2: cert_file: "),
            ("tls_server_config:\n  client_auth_type: Maybe\n", "web.yml:2: "),
            (
                "tls_server_config:\n  cipher_suites:\n  - TLS_RSA_WITH_AES_128_CBC_SHA\n",
                "web.yml:3: cipher suite \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not supported here",
            ),
            (
                "tls_server_config:\n  curve_preferences: [CurveP521]\n",
                "curve \"CurveP521\" is not supported here",
            ),
            (
                "tls_server_config:\n  client_allowed_sans: [a@b.c]\n",
                "e-mail name \"a@b.c\" is not supported here",
            ),
            (
                "http_server_config:\n  headers:\n    X-Powered-By: us\n",
                "web.yml:3: unknown field `X-Powered-By`",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
                "web.yml:3: ",
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\r\\nSet-Cookie: b\"\n",
                "web.yml:3: X-XSS-Protection: a header's value must be one line",
            ),
            ("http_server_config:\n  http2: perhaps\n", "web.yml:2: http2: "),
            (
                "rate_limit:\n  burst: 5\n",
                "rate_limit is not supported here: see --web.max-requests",
            ),
            ("basic_auth_users:\n  a: secret\n", "web.yml:2: a: not a bcrypt hash"),
            ("basic_auth_users:\n  a: x\n  a: y\n", "web.yml:"),
            ("basic_auth_users: [", "web.yml:"),
            ("\tkey: 1", "web.yml:"),
            ("{}\n---\n{}\n", "web.yml"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z_:{}\\[\\]\\-&*!|>'\" \n\t]{0,80}") {
            let _ = parse(Path::new("web.yml"), &text);
        }
    }
}
