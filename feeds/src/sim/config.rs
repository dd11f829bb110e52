//! What a simulator is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::exchange::PlaybackPace;
use super::fault::{Chaos, PlannedFault};
use super::load::LoadShape;
use super::market::MarketConfig;
use crate::types::VenueId;

/// A simulator's configuration. Start from [`SimConfig::market`] or [`SimConfig::playback`] and change what differs.
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// Whose protocol it speaks.
    pub venue: VenueId,
    /// Where its messages come from.
    pub source: SimSource,
    /// Where it listens: 127.0.0.1 and any free port, unless told otherwise.
    pub bind: SocketAddr,
    /// Whether it speaks TLS, and how honestly.
    pub tls: SimTls,
    /// Binance, Bybit and OKX: send books at this pace whatever the subscription says; zero is one message per event.
    pub depth_interval_ms: Option<u64>,
    /// Keep the venue's limits on a client's messages and requests.
    pub enforce_limits: bool,
    /// What goes wrong.
    pub faults: Vec<PlannedFault>,
    /// What goes wrong besides, drawn from a seed.
    pub chaos: Option<Chaos>,
    /// How often the server pings.
    pub ping_interval: Duration,
    /// How long it waits for the pong before it hangs up.
    pub pong_timeout: Duration,
}

/// Where the messages come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SimSource {
    /// A generated market.
    Market {
        /// Which.
        market: MarketConfig,
        /// How fast it talks.
        load: LoadShape,
    },
    /// A recording, played from the beginning to every client that subscribes.
    Playback {
        /// The files of one connection, in their order.
        files: Vec<PathBuf>,
        /// How fast.
        pace: PlaybackPace,
        /// How long the stream waits, where a REST book stands in the recording, for the client to ask for it.
        snapshot_timeout: Duration,
    },
}

/// Whether the simulator speaks TLS, and which certificate it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SimTls {
    /// Plain `ws://` and `http://`.
    #[default]
    Off,
    /// A certificate for localhost, 127.0.0.1 and ::1, of an authority made on the spot.
    Own,
    /// A certificate of the told authority, for another name.
    WrongName,
    /// A certificate for the right names, of another authority than the told one.
    UnknownAuthority,
    /// This one.
    Pem {
        /// The chain, leaf first.
        certificate_pem: String,
        /// The private key.
        key_pem: String,
    },
}

impl SimConfig {
    /// A generated market of these symbols at its own pace.
    pub fn market(venue: VenueId, symbols: &[&str], seed: u64) -> Self {
        let market = MarketConfig::preset(venue, symbols, seed);
        Self::new(
            venue,
            SimSource::Market {
                market,
                load: LoadShape::Natural { speed: 1.0 },
            },
        )
    }

    /// A recording at its own pace.
    pub fn playback(venue: VenueId, files: Vec<PathBuf>) -> Self {
        let (pace, snapshot_timeout) = (PlaybackPace::Recorded { speed: 1.0 }, Duration::from_secs(10));
        Self::new(
            venue,
            SimSource::Playback {
                files,
                pace,
                snapshot_timeout,
            },
        )
    }

    fn new(venue: VenueId, source: SimSource) -> Self {
        Self {
            venue,
            source,
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: SimTls::Off,
            depth_interval_ms: None,
            enforce_limits: true,
            faults: Vec::new(),
            chaos: None,
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(60),
        }
    }
}
