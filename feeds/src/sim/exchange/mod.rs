//! A venue without sockets: clients and the time go in, framed messages come out.
//!
//! One thread owns an [`Exchange`] and with it the whole truth: books, subscriptions, what each client is still to be
//! told. So a snapshot, the updates behind it and an acknowledgement between them have one order, and the same code
//! serves sockets and writes captures.

mod batch;
mod binance;
mod bybit;
mod clients;
mod coinbase;
mod kraken;
mod meddle;
mod okx;
mod playback;
mod source;
#[cfg(test)]
mod storm_tests;
#[cfg(test)]
mod tests;

use crate::types::{UnixNanos, VenueId};

pub(super) use batch::{Batch, End, Frame, Pace};
pub(super) use binance::Binance;
pub(super) use bybit::{Bybit, Product as BybitProduct};
pub(super) use clients::{ClientKey, Clients, Meta};
pub(super) use coinbase::Coinbase;
pub(super) use kraken::Kraken;
pub(super) use okx::Okx;
pub use playback::PlaybackPace;
pub(super) use playback::{Contents, Playback};
pub(super) use source::Generated;

use super::fault::{Fault, FaultKind};
use super::market::Market;

/// An answer to a REST request.
#[derive(Debug)]
pub(super) struct RestReply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// It is a whole book, of this instrument.
    pub(super) snapshot_of: Option<u16>,
    /// A fault: how much of the body is sent, and whether `Content-Length` owns up to it.
    pub(super) cut: Option<(usize, bool)>,
}

impl RestReply {
    /// Cuts the body where a fault says so.
    fn cut_by(&mut self, fault: Option<&Fault>) {
        if let Some(Fault::RestTruncated { is_length_right }) = fault {
            self.cut = Some((self.body.len() / 2, *is_length_right));
        }
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", "application/json;charset=UTF-8".to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
            snapshot_of: None,
            cut: None,
        }
    }
}

/// A request's path and query; what the venue may refuse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a>(pub(super) &'a str);

impl<'a> Target<'a> {
    pub(super) fn path(self) -> &'a str {
        self.0.split_once('?').map_or(self.0, |(path, _)| path)
    }

    pub(super) fn query(self, name: &str) -> Option<&'a str> {
        let (_, query) = self.0.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// What the faults need to know of a source of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// How the venue says that it will go away, at a time of its clock.
    pub(super) shutdown_message: fn(UnixNanos, &mut Vec<u8>),
    /// What cannot go wrong here, because the venue has nothing of the kind.
    pub(super) unplayable: &'static [FaultKind],
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            shutdown_message: |_, _| {},
            unplayable: &[],
        }
    }
}

/// What a venue's protocol makes of the market and of requests.
///
/// Faults strike below: on the messages that it pushes. For them it does four small things. It prints
/// [`Clients::stamp`] wherever it prints a time, and plans by `clients.now`. It notes where levels stand in its updates
/// ([`Meta::spots`]). It asks `clients.faults` at each subscription, snapshot and REST book. And it says in its manners
/// what it does not have.
pub(super) trait Dialect: Send {
    /// What the faults need to know of the venue.
    fn manners(&self) -> Manners;

    /// A WebSocket was opened at `target`; `Err` is the HTTP status that refuses it.
    fn connected(
        &mut self,
        key: ClientKey,
        target: Target<'_>,
        market: &Market,
        clients: &mut Clients,
    ) -> Result<(), u16>;

    /// A client said something.
    fn received(&mut self, key: ClientKey, text: &str, market: &Market, clients: &mut Clients);

    /// A client has left.
    fn disconnected(&mut self, key: ClientKey);

    /// An instrument took a step, at `clients.now`.
    fn stepped(&mut self, index: usize, market: &Market, clients: &mut Clients);

    /// When something is due by the clock, at the latest.
    fn next_deadline(&self, clients: &Clients) -> Option<UnixNanos>;

    /// `clients.now` has come.
    fn tick(&mut self, market: &Market, clients: &mut Clients);

    /// A REST request.
    fn rest(&mut self, target: Target<'_>, market: &Market, clients: &mut Clients) -> RestReply;

    /// [`Fault::SequenceRestart`] struck an update of this client: the instrument's `update_id` is zero now, and its next
    /// step begins with one. Forget what was told of it, and say what the venue says then: Binance nothing; Bybit a
    /// snapshot with `u` 1; OKX an update whose `seqId` is below its `prevSeqId`, so there the last told id stays (its
    /// empty keep-alive is no fault but a deadline, see [`tick`](Self::tick)); Coinbase counts per connection, `key`.
    fn sequence_restarted(&mut self, _key: ClientKey, _index: usize, _market: &Market, _clients: &mut Clients) {}

    /// [`Fault::RepeatSnapshot`] struck an update of this client: send it the book of the instrument as at a subscription.
    fn repeat_snapshot(&mut self, _key: ClientKey, _index: usize, _market: &Market, _clients: &mut Clients) {}
}

/// Where the messages come from.
pub(super) trait Exchange: Send {
    /// A WebSocket was opened; `Err` is the HTTP status that refuses it.
    fn connect(&mut self, target: &str, now: UnixNanos) -> Result<ClientKey, u16>;

    /// A client said something.
    fn receive(&mut self, key: ClientKey, text: &str, now: UnixNanos);

    /// A client has left.
    fn disconnect(&mut self, key: ClientKey);

    /// A REST request.
    fn rest(&mut self, target: &str, now: UnixNanos) -> RestReply;

    /// Says what is due, a bounded amount of it, and returns when to come again: `now` or earlier means at once.
    /// `is_throttled`: some client has much to read still, so a source without a pace of its own should rest.
    fn advance(&mut self, now: UnixNanos, is_throttled: bool) -> UnixNanos;

    /// What waits to be written.
    fn clients(&mut self) -> &mut Clients;

    /// A generated market stands still from here on. What has happened is still told, and requests are answered.
    fn halt(&mut self) {}

    /// Events of a generated market so far.
    fn market_events(&self) -> u64 {
        0
    }
}

/// A dialect of a venue over a market.
pub(super) fn dialect(venue: VenueId, market: &Market, options: binance::Options) -> Box<dyn Dialect> {
    match venue {
        VenueId::BinanceSpot | VenueId::BinanceUsdm => Box::new(Binance::new(venue, market, options)),
        VenueId::KrakenV2 => Box::new(Kraken::new(market)),
        VenueId::BybitSpot => Box::new(Bybit::new(BybitProduct::Spot, market, options)),
        VenueId::BybitLinear => Box::new(Bybit::new(BybitProduct::Linear, market, options)),
        VenueId::OkxV5 => Box::new(Okx::new(market, options.depth_interval_ms)),
        VenueId::CoinbaseAdvanced | VenueId::CoinbaseExchange => Box::new(Coinbase::new(venue, market)),
    }
}

pub(super) use binance::Options as DialectOptions;
