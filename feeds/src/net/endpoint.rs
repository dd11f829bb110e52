//! Where a WebSocket lives: `wss://host:port/path`, taken apart once and strictly.
//!
//! The parser accepts what a venue's documentation prints and nothing else. An address comes from a configuration file,
//! so a slip (a space, a user name, a fragment, a missing host) is answered with what is wrong and where, not with a
//! connection to somewhere near.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The address of a WebSocket server.
///
/// ```
/// use quantumflow_feeds::net::Endpoint;
///
/// let endpoint: Endpoint = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth".parse().unwrap();
/// assert_eq!(endpoint.host(), "stream.binance.com");
/// assert_eq!(endpoint.host_header(), "stream.binance.com:9443");
/// assert_eq!(endpoint.path(), "/stream?streams=btcusdt@depth");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
}

/// Whether the bytes are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `ws://`: plain TCP, for a simulator on the same host.
    Ws,
    /// `wss://`: TLS, for everything else.
    Wss,
}

impl Scheme {
    /// The port that is meant when an address names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Ws => "ws://",
            Self::Wss => "wss://",
        }
    }
}

impl Endpoint {
    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Wss
    }

    /// The host as a name or an address, lower case, an IPv6 address without its brackets: what a resolver and a
    /// certificate want.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path with its query, always starting with `/`: what the request line wants.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of the `Host` header: the port is there unless it is the scheme's own (RFC 9110, section 7.2), and an
    /// IPv6 address is in brackets.
    pub fn host_header(&self) -> String {
        let host = self.bracketed_host();
        match self.port == self.scheme.default_port() {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    fn bracketed_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.scheme.prefix(), self.host_header(), self.path)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(EndpointError::TooLong { bytes: text.len() });
        }
        if let Some((offset, character)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            return Err(EndpointError::BadCharacter { offset, character });
        }
        let (scheme, rest) = [Scheme::Ws, Scheme::Wss]
            .into_iter()
            .find_map(|scheme| {
                let prefix = scheme.prefix();
                let head = text.get(..prefix.len())?;
                head.eq_ignore_ascii_case(prefix)
                    .then(|| (scheme, &text[prefix.len()..]))
            })
            .ok_or(EndpointError::Scheme)?;
        if rest.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let (authority, path) = match rest.find(['/', '?']) {
            None => (rest, "/".to_owned()),
            Some(at) if rest.as_bytes()[at] == b'?' => (&rest[..at], format!("/{}", &rest[at..])),
            Some(at) => (&rest[..at], rest[at..].to_owned()),
        };
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(digits) => parse_port(digits)?,
        };
        Ok(Self {
            scheme,
            host: parse_host(host)?,
            port,
            path,
        })
    }
}

/// Why an address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It starts with neither scheme.
    #[error("address must start with wss:// or ws://")]
    Scheme,
    /// Longer than any address that a server accepts in its request line.
    #[error("address has {bytes} bytes, more than {ADDRESS_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A space, a control character or a letter outside ASCII: percent-encode it.
    #[error("address has the character {character:?} at byte {offset}; percent-encode it")]
    BadCharacter {
        /// Where.
        offset: usize,
        /// Which.
        character: char,
    },
    /// A WebSocket address has no fragment (RFC 6455, section 3).
    #[error("address has a fragment (#); write %23 if the path needs the sign")]
    Fragment,
    /// Credentials do not belong into an address that ends up in logs.
    #[error("address has a user name (@); send credentials in a message or a header")]
    UserInfo,
    /// There is nothing between the scheme and the path.
    #[error("address has no host")]
    NoHost,
    /// Neither a DNS name nor an IP address.
    #[error("{host:?} is neither a host name nor an IP address")]
    BadHost {
        /// What stands there.
        host: String,
    },
    /// Not a number from 1 to 65535.
    #[error("{port:?} is not a port from 1 to 65535")]
    BadPort {
        /// What stands there.
        port: String,
    },
}

/// Cuts `host:port`, minding the brackets of an IPv6 address.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), EndpointError> {
    let bad = || EndpointError::BadHost {
        host: authority.to_owned(),
    };
    if let Some(inside) = authority.strip_prefix('[') {
        let end = inside.find(']').ok_or_else(bad)?;
        let host = &authority[..end + 2];
        return match &inside[end + 1..] {
            "" => Ok((host, None)),
            tail => tail.strip_prefix(':').map(|port| (host, Some(port))).ok_or_else(bad),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, port)) if port.contains(':') => Err(bad()),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(digits: &str) -> Result<u16, EndpointError> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(EndpointError::BadPort {
            port: digits.to_owned(),
        }),
    }
}

fn parse_host(host: &str) -> Result<String, EndpointError> {
    let bad = || EndpointError::BadHost { host: host.to_owned() };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or_else(bad)?;
        return inside
            .parse::<Ipv6Addr>()
            .map(|address| address.to_string())
            .map_err(|_| bad());
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(host.to_owned());
    }
    // A name whose last label is a number is an IPv4 address that was mistyped, not a name (WHATWG URL, "ends in a
    // number"); resolvers differ in what they make of it.
    let ends_in_number = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    let is_name = host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    match is_name && !ends_in_number {
        true => Ok(host.to_ascii_lowercase()),
        false => Err(bad()),
    }
}

/// The longest request line that common servers take is 8 KiB; a combined stream of 1,024 symbols needs most of it.
const ADDRESS_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let endpoint: Endpoint = text.parse().unwrap();
        (endpoint.scheme, endpoint.host, endpoint.port, endpoint.path)
    }

    #[test]
    fn addresses_of_real_venues_come_apart() {
        let rows = [
            (
                "wss://stream.binance.com:9443/ws",
                (Scheme::Wss, "stream.binance.com", 9443, "/ws"),
            ),
            ("wss://ws.kraken.com/v2", (Scheme::Wss, "ws.kraken.com", 443, "/v2")),
            ("WSS://WS.Kraken.COM", (Scheme::Wss, "ws.kraken.com", 443, "/")),
            ("ws://127.0.0.1:9001/", (Scheme::Ws, "127.0.0.1", 9001, "/")),
            ("ws://localhost", (Scheme::Ws, "localhost", 80, "/")),
            ("ws://[::1]:8080/a?b=c", (Scheme::Ws, "::1", 8080, "/a?b=c")),
            ("wss://[2001:DB8::1]", (Scheme::Wss, "2001:db8::1", 443, "/")),
            ("wss://host?x=1", (Scheme::Wss, "host", 443, "/?x=1")),
            (
                "wss://h/stream?streams=a@b/c",
                (Scheme::Wss, "h", 443, "/stream?streams=a@b/c"),
            ),
        ];
        for (text, (scheme, host, port, path)) in rows {
            assert_eq!(parts(text), (scheme, host.to_owned(), port, path.to_owned()), "{text}");
        }
    }

    #[test]
    fn slips_are_named() {
        use EndpointError as E;
        let host = |host: &str| E::BadHost { host: host.into() };
        let port = |port: &str| E::BadPort { port: port.into() };
        let rows = [
            ("", E::Scheme),
            ("https://host/", E::Scheme),
            ("wss:/host", E::Scheme),
            ("wss://", E::NoHost),
            ("wss:///path", E::NoHost),
            ("wss://:443", E::NoHost),
            (
                "wss://host/ path",
                E::BadCharacter {
                    offset: 11,
                    character: ' ',
                },
            ),
            (
                "wss://host/\r\nEvil: 1",
                E::BadCharacter {
                    offset: 11,
                    character: '\r',
                },
            ),
            (
                "wss://höst/",
                E::BadCharacter {
                    offset: 7,
                    character: 'ö',
                },
            ),
            ("wss://host/#top", E::Fragment),
            ("wss://user:pw@host/", E::UserInfo),
            ("wss://host:0/", port("0")),
            ("wss://host:65536/", port("65536")),
            ("wss://host:/", port("")),
            ("wss://host:+80/", port("+80")),
            ("wss://a..b/", host("a..b")),
            ("wss://-a/", host("-a")),
            ("wss://a%41/", host("a%41")),
            ("wss://1.2.3/", host("1.2.3")),
            ("wss://1.2.3.456/", host("1.2.3.456")),
            ("wss://::1/", host("::1")),
            ("wss://[::1/", host("[::1")),
            ("wss://[::1]x/", host("[::1]x")),
            ("wss://[1.2.3.4]/", host("[1.2.3.4]")),
        ];
        for (text, error) in rows {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
        let long = format!("wss://host/{}", "x".repeat(ADDRESS_BYTES_MAX));
        assert_eq!(long.parse::<Endpoint>(), Err(E::TooLong { bytes: long.len() }));
    }

    #[test]
    fn display_parses_back() {
        for text in ["wss://a.b:1/c?d", "ws://[::1]:8080/", "wss://h/", "ws://h:443/"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn host_header_names_only_an_unusual_port() {
        let header = |text: &str| text.parse::<Endpoint>().unwrap().host_header();
        assert_eq!(header("wss://h:443/"), "h");
        assert_eq!(header("ws://h:443/"), "h:443");
        assert_eq!(header("ws://[::1]/"), "[::1]");
        assert_eq!(header("ws://[::1]:81/"), "[::1]:81");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text in "(wss?://)?[ -~é\\[\\]]{0,40}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
            }
        }
    }
}
