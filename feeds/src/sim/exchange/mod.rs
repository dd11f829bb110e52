//! A venue without sockets: clients and the time go in, framed messages come out.
//!
//! One thread owns an [`Exchange`] and with it the whole truth: books, subscriptions, what each client is still to be
//! told. So a snapshot, the updates behind it and an acknowledgement between them have one order, and the same code
//! serves sockets and writes captures.

mod binance;
mod clients;
mod kraken;
mod okx;
mod playback;
mod source;
#[cfg(test)]
mod tests;

use crate::types::{UnixNanos, VenueId};

pub(super) use binance::Binance;
pub(super) use clients::{Batch, ClientKey, Clients, End, Frame, Meta};
pub(super) use kraken::Kraken;
pub(super) use okx::Okx;
pub use playback::PlaybackPace;
pub(super) use playback::{Contents, Playback};
pub(super) use source::Generated;

use super::fault::Fault;
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

/// What a venue's protocol makes of the market and of requests. Times are the venue's own.
pub(super) trait Dialect: Send {
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

    /// Events of a generated market so far.
    fn market_events(&self) -> u64 {
        0
    }
}

/// A dialect of a venue over a market.
pub(super) fn dialect(venue: VenueId, market: &Market, options: binance::Options) -> Box<dyn Dialect> {
    match venue {
        VenueId::BinanceSpot => Box::new(Binance::new(market, options)),
        VenueId::KrakenV2 => Box::new(Kraken::new(market)),
        VenueId::OkxV5 => Box::new(Okx::new(market, options.depth_interval_ms)),
    }
}

pub(super) use binance::Options as DialectOptions;
