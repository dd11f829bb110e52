//! HTTP GET for the cold threads: snapshots, exchange information.
//!
//! A snapshot that was cut short has emptied other people's books: it parsed as far as it went, or as nothing at all,
//! and was taken for the truth. So a body here is whole or an error: its length is checked against what the server
//! announced, a chunked body must have its last chunk, a compressed one its trailer. And it has a ceiling, counted after
//! decompression.
//!
//! The library brings its own (stable) TLS; nothing of it is shared with the hot thread's.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error as HttpError};

/// A client for one venue's REST interface. Keeps its connection open between calls. Blocks.
#[derive(Clone, Debug)]
pub struct RestClient {
    agent: Agent,
    body_bytes_max: u64,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// PEM text of the certificate authorities to trust instead of Mozilla's.
    pub roots_pem: Option<Vec<u8>>,
    /// How long the TCP and TLS connection may take.
    pub connect_timeout: Duration,
    /// How long everything may take, the body included.
    pub timeout: Duration,
    /// The largest body that is taken, decompressed.
    pub body_bytes_max: u64,
}

impl Default for RestOptions {
    /// Three seconds to connect, ten in all, 64 MiB.
    fn default() -> Self {
        Self {
            roots_pem: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            body_bytes_max: 64 << 20,
        }
    }
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The PEM text of the authorities cannot be read.
    #[error("certificate authorities cannot be read: {reason}")]
    Roots {
        /// Why.
        reason: String,
    },
    /// The address is not one that a GET can be sent to.
    #[error("{url:?} is not an http:// or https:// address")]
    Url {
        /// The address.
        url: String,
    },
    /// 429, or Binance's 418: asking again too early gets the address banned.
    #[error("server limits the rate (HTTP {status}), retry after {retry_after:?}")]
    RateLimited {
        /// 429 or 418.
        status: u16,
        /// How long the server asks to wait, if it says so in seconds.
        retry_after: Option<Duration>,
    },
    /// Any other status than 200, redirects included: a venue's address is configuration.
    #[error("server answered HTTP {status}: {excerpt}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
        /// How long the server asks to wait, if it says so in seconds.
        retry_after: Option<Duration>,
    },
    /// The body is over the ceiling; raise it if the venue is right.
    #[error("body is over the ceiling of {limit} bytes")]
    BodyTooLarge {
        /// The ceiling.
        limit: u64,
    },
    /// The connection ended before the body did.
    #[error("body was cut short after {received} bytes, {}", expected.map_or("of unknown length".into(), |n| format!("{n} were announced")))]
    Truncated {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: Option<u64>,
    },
    /// The deadline passed.
    #[error("no answer within {timeout:?}")]
    Timeout {
        /// The deadline that was given.
        timeout: Duration,
    },
    /// The name did not resolve, the connection was refused, TLS failed, or the answer was no HTTP.
    #[error("request failed")]
    Request(#[source] Box<HttpError>),
}

impl RestError {
    /// How long the server asked to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl RestClient {
    /// Builds a client. Connects to nothing yet. Environment variables that name a proxy are not followed: the WebSocket
    /// would not go through it either.
    pub fn new(options: &RestOptions) -> Result<Self, RestError> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = &options.roots_pem {
            tls = tls.root_certs(roots(pem)?);
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(options.connect_timeout))
            .timeout_global(Some(options.timeout))
            .user_agent(concat!("quantumflow/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            body_bytes_max: options.body_bytes_max,
        })
    }

    /// The whole body of a 200 answer.
    pub fn get(&self, url: &str) -> Result<Vec<u8>, RestError> {
        let mut response = self.agent.get(url).call().map_err(|error| self.failed(error, url))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        match status {
            200 => {}
            418 | 429 => return Err(RestError::RateLimited { status, retry_after }),
            _ => {
                let mut excerpt = Vec::new();
                // Whatever of it comes; the status is what counts.
                let _ = response
                    .body_mut()
                    .as_reader()
                    .take(EXCERPT_BYTES_MAX)
                    .read_to_end(&mut excerpt);
                return Err(RestError::Status {
                    status,
                    excerpt: printable(&excerpt),
                    retry_after,
                });
            }
        }
        // The library forgets the length of a body that it decompresses, and its decompressor checks the trailer instead.
        let expected = response.body().content_length();
        if expected.is_some_and(|bytes| bytes > self.body_bytes_max) {
            return Err(RestError::BodyTooLarge {
                limit: self.body_bytes_max,
            });
        }
        let mut body = Vec::new();
        let read = response
            .body_mut()
            .as_reader()
            .take(self.body_bytes_max.saturating_add(1))
            .read_to_end(&mut body);
        let received = body.len() as u64;
        match read {
            Ok(_) => {}
            Err(error) if is_cut(&error) => return Err(RestError::Truncated { received, expected }),
            Err(error) => return Err(self.failed(error.into(), url)),
        }
        if received > self.body_bytes_max {
            return Err(RestError::BodyTooLarge {
                limit: self.body_bytes_max,
            });
        }
        match expected.is_some_and(|bytes| bytes != received) {
            true => Err(RestError::Truncated { received, expected }),
            false => Ok(body),
        }
    }

    fn failed(&self, error: HttpError, url: &str) -> RestError {
        match error {
            HttpError::BadUri(_) => RestError::Url { url: url.to_owned() },
            HttpError::Timeout(_) => RestError::Timeout {
                timeout: self.agent.config().timeouts().global.unwrap_or_default(),
            },
            error => RestError::Request(Box::new(error)),
        }
    }
}

fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}

fn roots(pem: &[u8]) -> Result<RootCerts, RestError> {
    let refused = |reason: String| RestError::Roots { reason };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| refused(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(refused("pem text holds no certificate".into())),
        false => Ok(RootCerts::from(certificates)),
    }
}

/// For a log line: one line, no control characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

const EXCERPT_BYTES_MAX: u64 = 512;
