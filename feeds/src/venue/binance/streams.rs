//! How Binance is asked for streams: by the path of the handshake as far as that goes, the rest by messages.
//!
//! The path needs no answer and no pace, so it takes what it can. Neither length is documented: the venue's servers took
//! addresses of 8,004 bytes in 2019 and of twice that since 2020, and stay mute on a request of more than 4,088
//! (reports against the connectors of others, of 2019 to 2024). Documented are 1,024 streams for a connection, and five
//! messages a second from a client on spot, pings and pongs among them.

use std::fmt::Write;

use crate::venue::config::{SessionConfig, SessionConfigError};

use super::product::Product;

/// The streams of one connection, as they are asked for.
#[derive(Debug)]
pub(super) struct Streams {
    /// With the first of them.
    pub(super) path: String,
    /// The others.
    pub(super) requests: Vec<String>,
}

impl Streams {
    /// `symbols` are spelled as in messages.
    pub(super) fn new<P: Product>(config: &SessionConfig, symbols: &[String]) -> Self {
        let mut path = format!("{}?streams=", P::STREAM_PATH);
        let mut requests = Vec::new();
        let mut params = String::new();
        for (index, stream) in streams::<P>(config, symbols).enumerate() {
            if requests.is_empty() && params.is_empty() && path.len() + 1 + stream.len() <= PATH_BYTES_MAX {
                path.push_str(if index > 0 { "/" } else { "" });
                path.push_str(&stream);
                continue;
            }
            if params.len() + stream.len() + 3 > PARAMS_BYTES_MAX {
                requests.push(std::mem::take(&mut params));
            }
            let comma = if params.is_empty() { "" } else { "," };
            let _ = write!(params, "{comma}\"{stream}\"");
        }
        if !params.is_empty() {
            requests.push(params);
        }
        Self { path, requests }
    }

    /// Whether the venue would take them.
    ///
    /// # Errors
    /// They are too many for one connection.
    pub(super) fn check<P: Product>(config: &SessionConfig, symbols: &[String]) -> Result<(), SessionConfigError> {
        let refuse = |what, count, most| {
            Err(SessionConfigError::TooMuchForVenue {
                venue: config.venue,
                what,
                count,
                most,
            })
        };
        let count = streams::<P>(config, symbols).count();
        if count > STREAMS_MAX {
            return refuse("streams", count, STREAMS_MAX);
        }
        match Self::new::<P>(config, symbols).requests.len() {
            count if count > REQUESTS_MAX => refuse("requests for streams", count, REQUESTS_MAX),
            _ => Ok(()),
        }
    }
}

/// Their names, symbol by symbol.
fn streams<P: Product>(config: &SessionConfig, symbols: &[String]) -> impl Iterator<Item = String> {
    let kinds = [
        Some(P::DEPTH_STREAM),
        config.trades.then_some("trade"),
        config.tops.then_some("bookTicker"),
    ];
    symbols.iter().flat_map(move |symbol| {
        let lower = symbol.to_ascii_lowercase();
        let name = move |kind| format!("{lower}@{kind}");
        kinds.into_iter().flatten().map(name)
    })
}

/// Of the path, with the host's name and some air below the 8,004 bytes of an address that always worked.
const PATH_BYTES_MAX: usize = 7_900;

/// Of the streams in a request, with the words around them below 4,088 bytes.
const PARAMS_BYTES_MAX: usize = 4_000;

/// Requests on opening: one below what the venue takes in a second.
const REQUESTS_MAX: usize = 4;

/// Streams of a connection.
const STREAMS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::super::spot::Spot;
    use super::super::usdm::Usdm;
    use super::*;
    use crate::types::VenueId;
    use proptest::prelude::*;

    fn config(count: usize, length: usize) -> SessionConfig {
        let symbols = (0..count).map(|index| format!("S{index:0>width$}", width = length - 1));
        SessionConfig::new(VenueId::BinanceSpot, symbols)
    }

    fn asked(streams: &Streams) -> Vec<String> {
        let (_, names) = streams.path.split_once("?streams=").unwrap();
        let in_path = names.split('/').map(str::to_owned);
        let in_requests = streams.requests.iter().flat_map(|params| {
            let names: Vec<String> = serde_json::from_str(&format!("[{params}]")).unwrap();
            names
        });
        in_path.chain(in_requests).collect()
    }

    #[test]
    fn a_few_symbols_are_asked_for_by_the_path_alone() {
        let streams = Streams::new::<Usdm>(&config(2, 5), &["BTCUSDT".to_owned(), "ETHUSDT".to_owned()]);
        assert_eq!(
            streams.path,
            "/public/stream?streams=btcusdt@depth@0ms/btcusdt@trade/btcusdt@bookTicker/\
             ethusdt@depth@0ms/ethusdt@trade/ethusdt@bookTicker"
        );
        assert!(streams.requests.is_empty());
    }

    #[test]
    fn what_the_venue_would_not_take_is_refused() {
        let verdict = |count, length| {
            let config = config(count, length);
            Streams::check::<Spot>(&config, &config.symbols).map_err(|error| error.to_string())
        };
        assert_eq!(verdict(341, 8), Ok(()));
        let error = verdict(342, 8).unwrap_err();
        assert!(
            error.contains("1026 streams") && error.contains("at most 1024"),
            "{error}"
        );
        let error = verdict(341, 24).unwrap_err();
        assert!(
            error.contains("requests for streams") && error.contains("at most 4"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_stream_is_asked_for_once_within_the_lengths(count in 1_usize..400, length in 4_usize..24, tops: bool) {
            let config = SessionConfig { tops, ..config(count, length) };
            let streams = Streams::new::<Spot>(&config, &config.symbols);
            prop_assert!(streams.path.len() <= 7_900);
            for params in &streams.requests {
                prop_assert!(params.len() <= 4_000, "{}", params.len());
            }
            let mut wanted = Vec::new();
            for symbol in &config.symbols {
                for kind in ["depth@100ms", "trade", "bookTicker"] {
                    if tops || kind != "bookTicker" {
                        wanted.push(format!("{}@{kind}", symbol.to_lowercase()));
                    }
                }
            }
            prop_assert_eq!(asked(&streams), wanted);
        }
    }
}
