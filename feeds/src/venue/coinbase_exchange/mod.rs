//! Coinbase Exchange, channel `level2_batch`: snapshots and updates in one stream, and nothing that proves them.
//!
//! The rule (venue documentation, "Exchange WebSocket", channels `level2_batch`, `matches` and `heartbeat`, 2026; message
//! shapes from a recorded session of 2021): a subscription brings a `snapshot`, then each `l2update` sets absolute
//! quantities, where zero deletes. `level2_batch` needs no key and gathers the changes of 50 milliseconds; its messages
//! are those of `level2`, which needs one since August 2026. A trade (`match`) gives the maker's side, so the aggressor
//! is the other one; `last_match` is the one before the subscription.
//!
//! # What nothing can catch
//!
//! The books carry no sequence number and no checksum. A message that the venue or something on the way left out, sent
//! twice or sent in another order cannot be noticed unless the book is crossed by it: the book may be wrong from then on,
//! for as long as its connection lives, and look right. So a book of this feed is never better than
//! [`Quality::Unverified`](crate::Quality::Unverified). Who needs proof takes [Advanced Trade](super::coinbase), which
//! numbers its frames, and has the same books.
//!
//! Two witnesses were considered. `ticker` names a best bid and ask, but of the moment of its trade: between it and an
//! `l2update` that gathers 50 milliseconds there is no common instant at which a difference would mean a fault. The
//! `sequence` of `match`, `ticker` and `heartbeat` counts the product's events of all kinds, most of which these channels
//! never send: its gaps are the rule. What is left is what a session does: it subscribes anew when a book is crossed, and
//! all books when a frame that may have been about one cannot be read and does not say which.

mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use parse::Parser;

use std::time::Duration;

use crate::book::Book;
use crate::event::ResyncReason;
use crate::types::Instrument;

use super::SessionConfig;
use super::coinbase::products::{is_product, push_product_ids};
use super::facts::Facts;
use super::message::BookMessage;
use super::outbox::Outbox;
use super::rules::{Proof, Request, Rules, SnapshotSource, Standing, Verdict};

pub(super) const FACTS: Facts = Facts {
    name: "coinbase_exchange",
    websocket_url: "wss://ws-feed.exchange.coinbase.com",
    rest_url: "https://api.exchange.coinbase.com",
    has_rest_snapshots: false,
    symbols: ["BTC-USD", "ETH-USD"],
    spelling: str::to_ascii_uppercase,
    is_symbol: is_product,
    has_depth: |depth| depth == 0,
    depths: "0, the whole book",
    default_depth: 0,
    has_checkpoints: |_| false, // the stream has no ids
    // Well before the connection counts as silent: one wrong product refuses a message whole, and who is asked for alone
    // then gets its book.
    subscription_timeout: Duration::from_secs(5),
    // A heartbeat comes every second, of each product.
    connection_silence: Some(Duration::from_secs(10)),
    shares_ids: false,
    connection_life: None,
};

/// The rules of Coinbase Exchange.
pub(super) struct CoinbaseExchange;

impl Rules for CoinbaseExchange {
    type Wire = Parser;

    const SNAPSHOTS: SnapshotSource = SnapshotSource::Stream;
    const IS_CHAINED: bool = false;
    /// Two messages per resync, where a hundred per second are allowed.
    const RESYNC_SPACING: Duration = Duration::from_millis(100);

    fn new(_config: &SessionConfig, _symbols: &[String]) -> Self {
        Self
    }

    fn websocket_path(&self) -> &str {
        "/"
    }

    #[cold]
    fn ask(&self, request: &Request<'_>, out: &mut Outbox) -> u64 {
        out.send(|text| {
            text.push_str("{\"type\":\"");
            text.push_str(request.verb.word());
            text.push_str("\",");
            push_product_ids(text, request.instruments);
            text.push_str(",\"channels\":[\"level2_batch\"");
            if !request.books_only {
                text.push_str(",\"matches\"");
            }
            if request.is_opening {
                text.push_str(",\"heartbeat\"");
            }
            text.push_str("]}");
        });
        1
    }

    #[inline]
    fn judge(&self, _standing: Standing, _message: &BookMessage) -> Verdict {
        Verdict::Continues // there is nothing to judge by
    }

    #[inline]
    fn prove(&mut self, _instrument: &Instrument, _book: &Book, _message: &BookMessage) -> Result<Proof, ResyncReason> {
        Ok(Proof::NONE)
    }

    fn may_be_book(frame: &[u8]) -> bool {
        let names = |kind: &[u8]| frame.windows(kind.len()).any(|window| window == kind);
        !names(b"match\"") && !names(b"\"heartbeat\"") && !names(b"\"subscriptions\"")
    }
}
