//! Two connections that carry the same messages: whichever brings one first is heard.
//!
//! There is still one book for each symbol and one chain of ids. The frames of both lines are given to the session as they
//! come, and the copy that comes second is known by its ids and dropped. So a line can be lost, or replaced before the
//! venue cuts it, and what one line has lost the other brings.
//!
//! A message that does not continue the chain is no gap while the other line may still bring what is missing: it is
//! dropped, because that line will bring it too. It is a gap when both lines have gone past the missing message, or when
//! nothing has come for [`PATIENCE`].

use std::time::Duration;

use crate::Sink;
use crate::event::{FeedEvent, ResyncReason};
use crate::types::{Line, SymbolId, UnixNanos};
use crate::venue::after;
use crate::venue::message::{BookMessage, Print};
use crate::venue::outbox::Outbox;
use crate::venue::rules::Rules;

use super::VenueSession;
use super::symbol::{Phase, SymbolFeed};

/// Which lines there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// The one whose frames are being given, or that is being opened or closed.
    pub(super) current: Line,
    /// The one that speaks to the venue about single symbols: the older one.
    pub(super) lead: Line,
    is_open: [bool; 2],
    /// Frames that waited are given, which both lines may have brought, whatever became of the lines since.
    pub(super) is_draining: bool,
    opened_at: [UnixNanos; 2],
    pub(super) frame_at: [UnixNanos; 2],
}

impl Lines {
    #[inline]
    pub(super) fn is_double(&self) -> bool {
        self.is_open[0] && self.is_open[1]
    }

    /// Whether the other line may have brought the same.
    #[inline]
    pub(super) fn has_copies(&self) -> bool {
        self.is_double() || self.is_draining
    }

    pub(super) fn is_any(&self) -> bool {
        self.is_open[0] || self.is_open[1]
    }

    pub(super) fn open(&self) -> impl Iterator<Item = Line> + use<> {
        let is_open = self.is_open;
        Line::ALL.into_iter().filter(move |line| is_open[line.index()])
    }

    /// Whether nothing has come on a line for long, while the other one speaks.
    pub(super) fn is_mute(&self, line: Line) -> bool {
        self.is_double() && self.frame_at[line.other().index()] > after(self.frame_at[line.index()], MUTE)
    }

    /// The current line is there; whether it is the only one.
    pub(super) fn on_open(&mut self, now: UnixNanos) -> bool {
        let is_only = !self.is_open[self.current.other().index()];
        self.is_open[self.current.index()] = true;
        self.opened_at[self.current.index()] = now;
        self.frame_at[self.current.index()] = now;
        if is_only {
            self.lead = self.current;
        }
        is_only
    }

    /// The current line is gone; whether there is no other.
    pub(super) fn on_close(&mut self) -> bool {
        self.is_open[self.current.index()] = false;
        if self.lead == self.current {
            self.lead = self.current.other();
        }
        !self.is_any()
    }
}

/// How far one of two lines has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStanding {
    /// Nothing has come on it.
    Unheard,
    /// Something has come, but not of every book that is shown.
    Heard,
    /// It carries every book that is shown.
    Joined,
}

/// How the book of one symbol stands to the lines that carry it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copies {
    /// Messages may come that the book contains already: there are two lines, or the one that is left lags behind.
    pub(super) may_repeat: bool,
    /// A message of the book has come on that line.
    is_seen: [bool; 2],
    /// The last of them continued the book, or was a copy of what did.
    is_joined: [bool; 2],
    /// It has gone past the book since that moved.
    is_past: [bool; 2],
    missing: Option<Missing>,
    trades: TradeCopies,
}

/// The same for its trades, which have no chain and may run ahead of the book.
#[derive(Clone, Copy, Debug, Default)]
struct TradeCopies {
    may_repeat: bool,
    last_id: u64,
    /// By line: it is heard once every trade up to this id was told. A line that is new may begin ahead of the other, which
    /// has to bring what lies between first.
    heard_from: [Option<u64>; 2],
}

impl TradeCopies {
    /// Whether the trade that `line` brings is not to be told: it was, or it will be by the other line.
    #[inline]
    fn is_repeat(&mut self, line: Line, has_copies: bool, trade_id: u64) -> bool {
        if self.may_repeat && (trade_id <= self.last_id || (has_copies && self.is_ahead(line, trade_id))) {
            return true;
        }
        self.may_repeat &= has_copies;
        self.last_id = trade_id;
        false
    }

    #[cold]
    fn is_ahead(&mut self, line: Line, trade_id: u64) -> bool {
        let heard_from = &mut self.heard_from[line.index()];
        let is_ahead = heard_from.is_none_or(|id| id > self.last_id);
        if is_ahead {
            *heard_from = Some(trade_id);
        }
        is_ahead
    }
}

/// What one line has gone past, and the other may yet bring.
#[derive(Clone, Copy, Debug)]
struct Missing {
    since: UnixNanos,
    expected: u64,
    got: u64,
}

impl Copies {
    /// `line` has brought what the book contains already: what it brings from here on, trades included, has no hole.
    #[cold]
    pub(super) fn repeated(&mut self, line: Line) {
        self.join(line);
        self.trades.heard_from[line.index()] = Some(0);
    }

    fn join(&mut self, line: Line) {
        self.is_seen[line.index()] = true;
        self.is_joined[line.index()] = true;
    }

    /// `line` has brought what comes next. Before a book is shown no trades are told: with its first message on, this
    /// line's are, and the other's from where it proves to have no hole. `is_shown` says whether it is.
    #[cold]
    pub(super) fn continued(&mut self, line: Line, has_copies: bool, is_shown: bool) {
        self.join(line);
        if !is_shown {
            self.trades.heard_from = [None; 2];
            self.trades.heard_from[line.index()] = Some(0);
        }
        self.is_past = [false; 2];
        self.missing = None;
        self.may_repeat = has_copies;
    }

    fn forget_line(&mut self, line: Line) {
        self.is_seen[line.index()] = false;
        self.is_joined[line.index()] = false;
        self.is_past[line.index()] = false;
        self.trades.heard_from[line.index()] = None;
    }
}

impl<R: Rules> VenueSession<R> {
    /// A second line is there: from now on messages may come twice.
    pub(super) fn on_second_line(&mut self) {
        let line = self.lines.current;
        for feed in &mut self.feeds {
            feed.copies.forget_line(line);
            feed.copies.is_seen[line.other().index()] = true;
            feed.copies.may_repeat = true;
            feed.copies.trades.may_repeat = true;
            feed.copies.trades.heard_from[line.other().index()].get_or_insert(0);
        }
    }

    /// One of two lines is gone.
    pub(super) fn on_line_lost(&mut self) {
        let line = self.lines.current;
        for feed in &mut self.feeds {
            feed.copies.forget_line(line);
        }
    }

    /// How far the line has come beside the other one.
    pub(in crate::venue) fn standing(&self, line: Line) -> LineStanding {
        let (index, lines) = (line.index(), &self.lines);
        let mut feeds = self.feeds.iter();
        if !lines.is_double() || lines.frame_at[index] <= lines.opened_at[index] {
            LineStanding::Unheard
        } else if feeds.all(|feed| feed.phase != Phase::Live || feed.copies.is_joined[index]) {
            LineStanding::Joined
        } else {
            LineStanding::Heard
        }
    }

    /// Whether the message, which came while messages may repeat, is one of the past.
    #[cold]
    pub(super) fn is_repeat(&mut self, message: &BookMessage) -> bool {
        let line = self.lines.current;
        let feed = &mut self.feeds[message.symbol.index()];
        if feed.phase != Phase::Live {
            return false;
        }
        let is_repeat = if message.is_snapshot {
            // The one that greets a new line is for whoever has no book. A later one is the venue's word, if it is new.
            !feed.copies.is_seen[line.index()] || message.exchange_time.is_some_and(|time| time <= feed.exchange_time)
        } else {
            message.previous_id != Some(feed.last_id) && message.last_id <= feed.last_id
        };
        if message.is_snapshot {
            feed.copies.is_seen[line.index()] = true;
        } else if is_repeat {
            feed.copies.repeated(line);
        }
        is_repeat
    }

    /// A message of the current line lies behind a gap: whether the other line may bring what is missing.
    #[cold]
    pub(super) fn may_come(&mut self, symbol: SymbolId, expected: u64, got: u64, now: UnixNanos) -> bool {
        let line = self.lines.current;
        let copies = &mut self.feeds[symbol.index()].copies;
        copies.is_seen[line.index()] = true;
        copies.is_past[line.index()] = true;
        if !self.lines.has_copies() || copies.is_past[line.other().index()] {
            copies.is_past = [false; 2];
            copies.missing = None;
            return false;
        }
        copies.missing.get_or_insert(Missing {
            since: now,
            expected,
            got,
        });
        true
    }

    /// What was missing has not come.
    pub(super) fn look_for_missing<S: Sink>(
        &mut self,
        symbol: SymbolId,
        now: UnixNanos,
        sink: &mut S,
        out: &mut Outbox,
    ) {
        let copies = &mut self.feeds[symbol.index()].copies;
        if let Some(Missing { expected, got, .. }) =
            copies.missing.take_if(|missing| now > after(missing.since, PATIENCE))
        {
            self.resync(symbol, ResyncReason::SequenceGap { expected, got }, now, sink, out);
        }
    }

    /// Whether the trade has been told already.
    #[inline]
    pub(super) fn is_told(lines: &Lines, feed: &mut SymbolFeed, print: &Print) -> bool {
        if !R::ARE_TRADES_ORDERED {
            return feed.copies.may_repeat && lines.current != lines.lead;
        }
        feed.copies
            .trades
            .is_repeat(lines.current, lines.has_copies(), print.trade_id)
    }

    /// A copy was dropped.
    pub(super) fn tell_repeat<S: Sink>(&self, symbol: SymbolId, sink: &mut S) {
        let line = self.lines.current;
        sink.on_event(FeedEvent::Repeated { symbol, line });
    }
}

/// How long one line may say nothing while the other speaks.
const MUTE: Duration = Duration::from_secs(30);

/// How long one line may lag behind the other before what it has to bring counts as lost: some round trips and a
/// retransmission.
const PATIENCE: Duration = Duration::from_millis(500);
