//! One message of a symbol: into the book if it continues it, and on to the sink.

use crate::Sink;
use crate::clock::Clock;
use crate::event::{BookUpdate, FeedEvent, ResyncReason, SnapshotFault};
use crate::types::{Side, SymbolId};
use crate::venue::message::{BookMessage, Kind, Message, ParseError, Ticker};
use crate::venue::rules::{Rules, Standing, Verdict};
use crate::venue::wire::Wire;

use super::symbol::Phase;
use super::{Context, Found, Step, VenueSession};

impl<R: Rules> VenueSession<R> {
    /// One frame, or a part of one, of a symbol that waits for no REST snapshot.
    #[inline]
    pub(super) fn process<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        frame: &[u8],
        market: Found<R>,
        context: &mut Context<'_, S, C>,
    ) -> Step {
        let Some(market) = market else {
            return self.reject(symbol, frame, None, ParseError::Malformed, context);
        };
        let feed = &self.feeds[symbol.index()];
        let is_useful = match market.kind {
            Kind::Snapshot => true,
            Kind::Update => matches!(feed.phase, Phase::Live | Phase::Held),
            Kind::Top => feed.phase == Phase::Live,
            // They do not depend on the book, but on its decimals, and on its place where frames wait for it.
            Kind::Trades if R::SNAPSHOTS.splices() => feed.phase == Phase::Live,
            Kind::Trades => feed.told_scale.is_some(),
        };
        if !is_useful {
            context.sink.on_event(FeedEvent::Outdated { symbol });
            return Step::Consumed;
        }
        // A book that is shown has its decimals: where snapshots repeat, fewer of them are not another scale, and more of
        // them are found like in an update.
        let is_settled = R::RESCALES && feed.phase == Phase::Live;
        if market.kind == Kind::Snapshot
            && !is_settled
            && let Err(error) = self.settle_scale(&market, frame)
        {
            return self.reject(symbol, frame, Some(market.kind), error, context);
        }
        let read = self.wire.read(frame, &market, &mut self.changes, &mut self.prints);
        let read = match read {
            Err(ParseError::FinerThanScale) if R::RESCALES => self.rescale_for(&market, frame, context.sink),
            read => read,
        };
        context.stamps.parsed = context.clock.ticks();
        match read {
            Ok(Message::Book(message)) => return self.on_book(&message, context),
            Ok(Message::Top(ticker)) => self.on_top(&ticker, context),
            Ok(Message::Trades { is_snapshot: false }) => self.on_trades(context),
            // Trades of the past: they would be told again after every subscription.
            Ok(Message::Trades { is_snapshot: true }) => context.sink.on_event(FeedEvent::Outdated { symbol }),
            Ok(Message::Notice(_)) => context.sink.on_event(FeedEvent::Control),
            Err(error) => return self.reject(symbol, frame, Some(market.kind), error, context),
        }
        Step::Consumed
    }

    #[inline]
    fn on_book<S: Sink, C: Clock>(&mut self, message: &BookMessage, context: &mut Context<'_, S, C>) -> Step {
        let symbol = message.symbol;
        if self.feeds[symbol.index()].copies.may_repeat && self.is_repeat(message) {
            self.feeds[symbol.index()].passed_over = true;
            self.tell_repeat(symbol, context.sink);
            return Step::Consumed;
        }
        let feed = &mut self.feeds[symbol.index()];
        if message.is_snapshot {
            feed.book.clear();
            feed.last_top = None;
            feed.outdate_backlog(symbol, context.sink); // older than it, in the same stream
            feed.reply_due = None;
            self.checkpoints.forget(symbol);
        } else {
            let standing = Standing {
                last_id: feed.last_id,
                is_held: feed.phase == Phase::Held,
            };
            match self.rules.judge(standing, message) {
                Verdict::Continues => {}
                Verdict::Contained => {
                    if feed.copies.may_repeat {
                        feed.copies.repeated(self.lines.current);
                    }
                    if message.last_id == feed.last_id && R::IS_CHAINED {
                        // The venue says itself that nothing has changed.
                        feed.liveness.confirm(context.stamps.receive_time);
                        feed.stale = false;
                    } else {
                        feed.passed_over = true;
                    }
                    context.sink.on_event(FeedEvent::Outdated { symbol });
                    return Step::Consumed;
                }
                Verdict::Gap { expected, got } => return self.on_gap(symbol, expected, got, context),
            }
        }
        if feed.copies.may_repeat {
            let is_shown = feed.phase == Phase::Live;
            feed.copies
                .continued(self.lines.current, self.lines.has_copies(), is_shown);
        }
        let update_id = R::update_id(feed.last_id, message);
        let is_watched = self.checkpoints.watches(symbol);
        if is_watched && !message.is_snapshot {
            let history = &mut self.checkpoints.history;
            history.apply(&mut feed.book, &self.changes, feed.last_id, update_id);
        } else {
            for change in &self.changes {
                feed.book.set(change.side, change.price, change.qty);
            }
        }
        let levels_max = self.rules.levels_max(symbol);
        for side in [Side::Bid, Side::Ask] {
            if feed.book.level_count(side) > levels_max {
                feed.book.truncate(side, levels_max);
            }
        }
        feed.book.set_scope(self.rules.scope(symbol));
        feed.last_id = update_id;
        let instrument = &self.instruments[symbol.index()];
        let proof = match self.rules.prove(instrument, &feed.book, message) {
            Ok(proof) => proof,
            Err(reason) => {
                self.resync(symbol, reason, context.now(), context.sink, context.out);
                return Step::Consumed;
            }
        };
        if proof.is_checksum {
            context.sink.on_event(FeedEvent::ChecksumVerified { symbol });
        }
        if proof.is_checksum_dead {
            context.sink.on_event(FeedEvent::ChecksumDead);
        }
        if feed.book.is_crossed() {
            self.resync(symbol, ResyncReason::Crossed, context.now(), context.sink, context.out);
            return Step::Consumed;
        }
        feed.book.widen_horizons();
        feed.exchange_time = message.exchange_time.unwrap_or(feed.exchange_time);
        feed.quality = proof.quality;
        // A top that came before its update.
        let awaited_top = feed.last_top.filter(|top| top.update_id == message.last_id);
        if let Some(top) = awaited_top
            && !top.agrees_with(&feed.book)
        {
            self.on_disagreement(&top, context);
            return Step::Consumed;
        }
        let is_whole = message.is_snapshot || feed.rebased || feed.phase != Phase::Live;
        if message.is_snapshot || feed.phase != Phase::Live {
            feed.show(instrument, context.sink);
        } else {
            feed.attempt = 0; // the last whole book was of use
        }
        feed.rebased = false;
        feed.liveness.touch(context.stamps.receive_time);
        feed.stale = false;
        feed.passed_over = false;
        context.stamps.booked = context.clock.ticks();
        let update = BookUpdate {
            instrument,
            book: &feed.book,
            changes: if is_whole { &[] } else { &self.changes },
            update_id: feed.last_id,
            exchange_time: feed.exchange_time,
            quality: proof.quality,
            is_snapshot: is_whole,
        };
        context.sink.on_book(&update, context.stamps);
        if let Some(top) = awaited_top {
            context.sink.on_top(&top.told(instrument, Some(true)), context.stamps);
        }
        if is_watched {
            self.catch_up(symbol, context.now(), context.sink, context.out);
        }
        Step::Consumed
    }

    /// The message does not continue the book: the REST snapshot was too old for it, or the venue skipped something.
    #[cold]
    fn on_gap<S: Sink, C: Clock>(
        &mut self,
        symbol: SymbolId,
        expected: u64,
        got: u64,
        context: &mut Context<'_, S, C>,
    ) -> Step {
        if self.feeds[symbol.index()].copies.may_repeat && self.may_come(symbol, expected, got, context.now()) {
            self.tell_repeat(symbol, context.sink);
            return Step::Consumed;
        }
        let feed = &mut self.feeds[symbol.index()];
        if feed.phase == Phase::Held {
            feed.start_wait(Phase::Awaiting);
            context.sink.on_event(FeedEvent::SnapshotRejected {
                symbol,
                reason: SnapshotFault::TooOld,
            });
            return Step::Keep;
        }
        let reason = ResyncReason::SequenceGap { expected, got };
        self.resync(symbol, reason, context.now(), context.sink, context.out);
        if R::SNAPSHOTS.splices() {
            Step::Keep
        } else {
            Step::Consumed
        }
    }

    #[cold]
    fn on_disagreement<S: Sink, C: Clock>(&mut self, top: &Ticker, context: &mut Context<'_, S, C>) {
        let symbol = top.symbol;
        let told = top.told(&self.instruments[symbol.index()], Some(false));
        context.sink.on_top(&told, context.stamps);
        let reason = ResyncReason::TopDisagrees {
            update_id: top.update_id,
        };
        self.resync(symbol, reason, context.now(), context.sink, context.out);
    }

    #[inline]
    fn on_top<S: Sink, C: Clock>(&mut self, ticker: &Ticker, context: &mut Context<'_, S, C>) {
        let feed = &mut self.feeds[ticker.symbol.index()];
        let is_repeat = |top: Ticker| ticker.update_id <= top.update_id;
        if feed.copies.may_repeat && feed.last_top.is_some_and(is_repeat) {
            self.tell_repeat(ticker.symbol, context.sink);
            return;
        }
        let agrees = (ticker.update_id == feed.last_id).then(|| ticker.agrees_with(&feed.book));
        if agrees == Some(false) {
            self.on_disagreement(ticker, context);
            return;
        }
        feed.last_top = Some(*ticker);
        context.stamps.booked = context.stamps.parsed;
        let told = ticker.told(&self.instruments[ticker.symbol.index()], agrees);
        context.sink.on_top(&told, context.stamps);
    }

    /// A message may name several symbols; those without a scale that was told wait for it.
    #[inline]
    fn on_trades<S: Sink, C: Clock>(&mut self, context: &mut Context<'_, S, C>) {
        context.stamps.booked = context.stamps.parsed;
        for print in &self.prints {
            let symbol = print.symbol;
            let feed = &mut self.feeds[symbol.index()];
            if feed.told_scale.is_none() {
                context.sink.on_event(FeedEvent::Outdated { symbol });
            } else if Self::is_told(&self.lines, feed, print) {
                self.tell_repeat(symbol, context.sink);
            } else {
                let trade = print.told(&self.instruments[symbol.index()]);
                context.sink.on_trade(&trade, context.stamps);
            }
        }
    }
}
