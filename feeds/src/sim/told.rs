//! For tests elsewhere in this crate: what one client of a generated market is told, without sockets.

use super::exchange::{Clients, DialectOptions, Exchange, Generated};
use super::fault::Faults;
use super::load::LoadShape;
use super::market::MarketConfig;
use super::stats::MessageKind;
use crate::types::{UnixNanos, VenueId};

/// A client that subscribes once, and what it asks for.
pub(crate) struct Listener<'a> {
    pub(crate) venue: VenueId,
    pub(crate) market: &'a MarketConfig,
    pub(crate) depth_interval_ms: u64,
    /// The path of the handshake.
    pub(crate) target: &'a str,
    pub(crate) requests: &'a [String],
    /// The path and query of the whole book, where there is one.
    pub(crate) rest_target: Option<&'a str>,
    /// When it has heard enough.
    pub(crate) update_count: usize,
}

/// What it was told.
pub(crate) struct Told {
    /// The whole book of seconds before the client came.
    pub(crate) early_book: Option<Vec<u8>>,
    pub(crate) lines: Vec<Line>,
}

/// One thing that it was told.
pub(crate) enum Line {
    Frame(Vec<u8>),
    /// The whole book, asked for at the first update.
    Rest(Vec<u8>),
}

impl Listener<'_> {
    pub(crate) fn listen(&self) -> Told {
        let options = DialectOptions {
            depth_interval_ms: Some(self.depth_interval_ms),
            enforce_limits: false,
        };
        let (start, natural) = (self.market.start_time, LoadShape::Natural { speed: 1.0 });
        let clients = Clients::new(Faults::none());
        let mut exchange = Generated::new(self.venue, self.market, options, natural, clients, start);
        let ask = |exchange: &mut Generated, time| {
            let reply = self.rest_target.map(|target| exchange.rest(target, time));
            reply.map(|reply| {
                assert_eq!(reply.status, 200);
                reply.body
            })
        };
        let early_book = ask(&mut exchange, start);
        let mut now = start;
        while now < UnixNanos(start.0 + EARLY_NS) {
            now = exchange.advance(now, false).max(now);
        }
        let key = exchange.connect(self.target, now).expect("the path is the session's");
        for request in self.requests {
            exchange.receive(key, request, now);
        }
        let mut told = Told {
            early_book,
            lines: Vec::new(),
        };
        let (mut updates, mut rest_due) = (0, None::<UnixNanos>);
        while updates < self.update_count {
            let next = exchange.advance(now, false).max(UnixNanos(now.0 + 1));
            let batch = exchange.clients().batch(key).expect("the client stays");
            for frame in &batch.frames {
                let bytes = batch.bytes[frame.end - frame.payload_bytes..frame.end].to_vec();
                told.lines.push(Line::Frame(bytes));
                if frame.kind == MessageKind::BookUpdate {
                    updates += 1;
                    rest_due = rest_due.or((updates == 1).then_some(UnixNanos(now.0 + FETCH_NS)));
                }
            }
            batch.clear();
            now = next;
            if let Some(due) = rest_due.filter(|due| *due <= now) {
                told.lines.extend(ask(&mut exchange, due).map(Line::Rest));
                rest_due = None;
            }
        }
        told
    }
}

/// How long before the client the early book is.
const EARLY_NS: u64 = 2_000_000_000;

/// From the first update to the whole book: two and a half of the paces at which updates come.
const FETCH_NS: u64 = 250_000_000;
