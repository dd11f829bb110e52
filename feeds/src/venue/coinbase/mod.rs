//! Coinbase Advanced Trade: snapshots and updates in one stream, and a number on every frame of the connection.
//!
//! The rule (venue documentation, "Advanced Trade WebSocket", channels `level2` and `heartbeats`, 2026; frame numbers
//! checked against captured frames of August 2026): one channel per `subscribe` message, the first within five seconds;
//! the data of `level2` comes in a channel named `l2_data`, a whole book first, then absolute quantities, where `"0"`
//! deletes. Sides are `bid` and `offer`. `sequence_num` goes up by one with **every** frame: answers, heartbeats and the
//! data of all products; a guide that calls it a product's own number is wrong. The venue starts at zero. A session takes
//! whatever number comes first: no book is shown before its snapshot, so what came before one is of no interest, and a
//! recording that starts in the middle can be replayed.
//!
//! A number that is skipped, or comes again, means that a frame was lost, nobody knows whose: all books are in doubt and
//! are subscribed anew, at the venue's pace of eight messages per second. So is every book when a frame cannot be read
//! and does not say whose it is: its number may well have been read, and the next one would not show a gap.
//!
//! What nothing can catch: the venue has no checksum and no second witness of the same instant, so an unbroken count
//! proves that every frame was heard, not that the venue's frames make a right book: a level that is wrong, the best one
//! included, is noticed only if it crosses the book. A snapshot has tens of thousands of
//! levels (44,000 and 4.8 MB were seen for BTC-USD). Each side keeps its best 32,768; what was cut off is not sent again
//! when the market comes near it, so a side that was ever longer may have holes that deep.
//!
//! `exchange_time` is the `timestamp` of the frame: the `event_time` of a level goes back and forth. Heartbeats come each
//! second and show that the connection lives, never that a book does. The `side` of a trade is the maker's.
//!
//! Products quoted in USDC share the books of those in USD and their messages say `-USD`, whatever was asked for. So a
//! spelling with `-USDC` is refused with the configuration: it would wait for messages that never name it.

mod parse;
pub(super) mod products;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::Parser;

use std::fmt::Write;
use std::time::Duration;

use super::SessionConfig;
use super::facts::Facts;
use super::message::BookMessage;
use super::outbox::Outbox;
use super::rules::{Request, Rules, SnapshotSource, Standing, Verb, Verdict};
use products::{is_product, push_product_ids};

pub(super) const FACTS: Facts = Facts {
    name: "coinbase",
    websocket_url: "wss://advanced-trade-ws.coinbase.com",
    rest_url: "https://api.coinbase.com",
    has_rest_snapshots: false,
    symbols: ["BTC-USD", "ETH-USD"],
    spelling: str::to_ascii_uppercase,
    is_symbol: |symbol| is_product(symbol) && !symbol.ends_with("-USDC"),
    has_depth: |depth| depth == 0,
    depths: "0, the whole book",
    default_depth: 0,
    has_checkpoints: |_| false, // its REST book has no number of the stream's
    subscription_timeout: Duration::from_secs(10),
    // A heartbeat comes every second.
    connection_silence: Some(Duration::from_secs(10)),
    shares_ids: false,
    connection_life: None,
};

/// The rules of Coinbase Advanced Trade.
pub(super) struct Coinbase;

impl Rules for Coinbase {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Stream;
    /// The count is the connection's, not a book's: see the wire's `COUNTS_FRAMES`.
    const IS_CHAINED: bool = false;
    /// Two messages per resync at eight per second, and some air.
    const RESYNC_SPACING: Duration = Duration::from_millis(300);

    fn new(_config: &SessionConfig, _symbols: &[String]) -> Self {
        Self
    }

    fn websocket_path(&self) -> &str {
        "/"
    }

    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        let mut count = 1;
        ask_channel("level2", request, out);
        if !request.books_only {
            ask_channel("market_trades", request, out);
            count += 1;
        }
        if request.is_opening && request.verb == Verb::Subscribe {
            out.send(|text| text.push_str("{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}"));
            count += 1;
        }
        count
    }

    #[inline]
    fn judge(&self, _standing: Standing, _message: &BookMessage) -> Verdict {
        Verdict::Continues // a gap was noticed with the frame, before it was read
    }

    fn may_be_book(frame: &[u8]) -> bool {
        let names = |channel: &[u8]| frame.windows(channel.len()).any(|window| window == channel);
        !names(b"\"market_trades\"") && !names(b"\"heartbeats\"") && !names(b"\"subscriptions\"")
    }
}

#[cold]
fn ask_channel(channel: &str, request: &Request<'_>, out: &mut Outbox) {
    out.send(|text| {
        let _ = write!(text, "{{\"type\":\"{}\",", request.verb.word());
        push_product_ids(text, request.instruments);
        let _ = write!(text, ",\"channel\":\"{channel}\"}}");
    });
}
