//! What one venue has of its own: how it is asked, where its whole books come from, and what proves them.
//!
//! A venue is a type that implements [`Rules`], in one file that reads like its fact sheet, and a [`Wire`] that reads its
//! frames. All that venues have in common is [`VenueSession`](super::session::VenueSession)'s.

use std::time::Duration;

use crate::book::Book;
use crate::event::ResyncReason;
use crate::types::{Instrument, Quality, Scale, SymbolId};

use super::SessionConfig;
use super::message::{BookMessage, MessageDecimals};
use super::outbox::Outbox;
use super::wire::Wire;

/// Where a whole book comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SnapshotSource {
    /// From the stream, after a subscription; what comes before it is part of it.
    Stream,
    /// From a REST request; frames wait for it and are spliced to it by their ids.
    Rest,
    /// From the stream if one comes before the first update, else by REST. After a loss the stream goes on, so by REST;
    /// where that fails again and again, by a new subscription.
    StreamOrRest,
}

impl SnapshotSource {
    /// Whether frames may have to wait for a REST snapshot.
    pub(super) const fn splices(self) -> bool {
        !matches!(self, Self::Stream)
    }

    /// Whether a new subscription brings a snapshot.
    pub(super) const fn streams(self) -> bool {
        !matches!(self, Self::Rest)
    }
}

/// How a message relates to the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The book contains it already.
    Contained,
    /// It is what comes next.
    Continues,
    /// Something is missing before it.
    Gap {
        /// The id that should have come.
        expected: u64,
        /// The id that came.
        got: u64,
    },
}

/// Where a book stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The update id of the last message, or of the snapshot.
    pub(super) last_id: u64,
    /// The book is a REST snapshot that no message has continued yet.
    pub(super) is_held: bool,
}

/// A request about subscriptions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) verb: Verb,
    /// For which instruments.
    pub(super) instruments: &'a [Instrument],
    /// About the books alone; otherwise about all channels.
    pub(super) books_only: bool,
    /// The first of a connection: whatever is asked for once, such as heartbeats, belongs to it.
    pub(super) is_opening: bool,
    /// The number of the first message; each further one takes the next.
    pub(super) id: u64,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Subscribe,
    Unsubscribe,
}

impl Verb {
    /// The word that most venues use.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// The rules of one venue.
pub(super) trait Rules: Sized {
    /// Reads its frames.
    type Wire: Wire;

    /// Where its whole books come from.
    const SNAPSHOTS: SnapshotSource;

    /// Whether its messages form a chain of ids, so that a lost one is noticed at the next.
    const IS_CHAINED: bool;

    /// Whether a trade's id is above that of every earlier one, so that the copy of another line is known by it.
    const ARE_TRADES_ORDERED: bool = true;

    /// How often the venue wants to hear of a client that has nothing to say.
    const PING_INTERVAL: Option<Duration> = None;

    /// The least time from one new subscription to the next, by the venue's limit of messages.
    const RESYNC_SPACING: Duration = Duration::from_millis(400);

    /// The rules for this configuration, which was checked. `symbols` are spelled as in messages.
    fn new(config: &SessionConfig, symbols: &[String]) -> Self;

    /// The path of the WebSocket handshake.
    fn websocket_path(&self) -> &str;

    /// Path and query of the REST snapshot of a symbol, where there is one.
    fn rest_path(&self, _symbol: SymbolId) -> Option<&str> {
        None
    }

    /// What a REST snapshot costs of the venue's budget.
    fn snapshot_weight(&self) -> u32 {
        1
    }

    /// Path and query of the small REST book that a shown one is held against; `None` where the venue's REST has no ids,
    /// or others than this stream.
    fn checkpoint_path(&self, _symbol: SymbolId) -> Option<&str> {
        None
    }

    /// What that costs of the venue's budget.
    fn checkpoint_weight(&self) -> u32 {
        1
    }

    /// Writes a request, and returns how many messages that took.
    fn ask(&self, _request: &Request<'_>, _out: &mut Outbox) -> u64 {
        0
    }

    /// Writes a ping.
    fn ping(&self, _id: u64, _out: &mut Outbox) {}

    /// The scale for a symbol whose snapshot in the stream has printed these decimals.
    fn scale(decimals: MessageDecimals) -> Scale {
        decimals.significant()
    }

    /// Whether a symbol gets a finer scale when a number needs it; otherwise such a number is a fault.
    const RESCALES: bool = true;

    /// How the message, which is no snapshot, relates to a book that stands there.
    fn judge(&self, standing: Standing, message: &BookMessage) -> Verdict;

    /// The update id of the book behind a message, `last_id` before it: the message's own, or a count where it has none.
    fn update_id(last_id: u64, message: &BookMessage) -> u64 {
        if Self::IS_CHAINED { message.last_id } else { last_id + 1 }
    }

    /// How far the book can be trusted after the message. Its mantissas are at the instrument's scale.
    ///
    /// # Errors
    /// The venue's own proof does not hold.
    fn prove(&mut self, _instrument: &Instrument, _book: &Book, _message: &BookMessage) -> Result<Proof, ResyncReason> {
        Ok(Proof::CHAIN)
    }

    /// Levels that each side of a book is cut back to after every message.
    fn levels_max(&self, _symbol: SymbolId) -> usize {
        LEVELS_MAX
    }

    /// Best levels of a side that the stream keeps right by itself, whatever leaves and comes into them; `usize::MAX`
    /// where it speaks of every level, so that a book is known as deep as the whole one was that it began with.
    fn scope(&self, _symbol: SymbolId) -> usize {
        usize::MAX
    }

    /// A connection is new: what the venue said on the last one means nothing.
    fn on_open(&mut self) {}

    /// The venue's answer to a subscription says how many levels the book will have.
    fn on_depth(&mut self, _symbol: SymbolId, _depth: u32) {}

    /// Whether a frame that cannot be read may have been about a book.
    fn may_be_book(frame: &[u8]) -> bool;
}

/// What a venue's own proof said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) quality: Quality,
    /// A checksum held.
    pub(super) is_checksum: bool,
    /// The venue's checksum has turned out to be none; said once per connection.
    pub(super) is_checksum_dead: bool,
}

impl Proof {
    /// An unbroken chain of ids.
    pub(super) const CHAIN: Self = Self {
        quality: Quality::Verified,
        is_checksum: false,
        is_checksum_dead: false,
    };
    /// A checksum.
    pub(super) const CHECKSUM: Self = Self {
        quality: Quality::Verified,
        is_checksum: true,
        is_checksum_dead: false,
    };
    /// Neither.
    pub(super) const NONE: Self = Self {
        quality: Quality::Unverified,
        is_checksum: false,
        is_checksum_dead: false,
    };
}

/// Levels that one side of a book may have where the venue sets no depth: far above what price filters leave room for, so
/// that a peer that sends nothing but new prices cannot fill the memory. The worst are dropped.
pub(super) const LEVELS_MAX: usize = 32_768;
