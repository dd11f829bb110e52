//! The decimals of a symbol's mantissas: settled by a snapshot, made finer when a number needs it.

use crate::Sink;
use crate::book::Level;
use crate::decimal::power_of_ten;
use crate::event::FeedEvent;
use crate::types::{Price, Qty, Scale, Side};
use crate::venue::message::{Market, Message, ParseError, Ticker};
use crate::venue::rules::Rules;
use crate::venue::wire::Wire;

use super::VenueSession;
use super::symbol::Phase;

type Head<R> = <<R as Rules>::Wire as Wire>::Head;

impl<R: Rules> VenueSession<R> {
    /// Takes the number of decimals from the text of a snapshot in the stream.
    #[cold]
    pub(super) fn settle_scale(&mut self, market: &Market<Head<R>>, frame: &[u8]) -> Result<(), ParseError> {
        let scale = R::scale(self.wire.decimals(frame, market.part)?);
        if !self.wire.set_scale(market.symbol, scale) {
            return Err(ParseError::NumberOutOfRange);
        }
        self.instruments[market.symbol.index()].scale = scale;
        Ok(())
    }

    /// Gives a symbol the scale that a frame needs, book included, and reads the frame again.
    #[cold]
    pub(super) fn rescale_for<S: Sink>(
        &mut self,
        market: &Market<Head<R>>,
        frame: &[u8],
        sink: &mut S,
    ) -> Result<Message, ParseError> {
        let symbol = market.symbol;
        let needed = self.wire.decimals(frame, market.part)?.significant();
        let instrument = &mut self.instruments[symbol.index()];
        let feed = &mut self.feeds[symbol.index()];
        let old = instrument.scale;
        let new = Scale {
            price: old.price.max(needed.price),
            qty: old.qty.max(needed.qty),
        };
        let factor = |new: u8, old: u8| power_of_ten(new - old).ok_or(ParseError::NumberOutOfRange);
        let factors = (factor(new.price, old.price)?, factor(new.qty, old.qty)?);
        let scaled = |price: Price, qty: Qty| -> Result<(Price, Qty), ParseError> {
            match (price.0.checked_mul(factors.0), qty.0.checked_mul(factors.1)) {
                (Some(price), Some(qty)) => Ok((Price(price), Qty(qty))),
                _ => Err(ParseError::NumberOutOfRange),
            }
        };
        // All or nothing: a book of two scales would be worse than none.
        let mut bids = 0;
        self.levels.clear();
        for side in [Side::Bid, Side::Ask] {
            for level in feed.book.levels(side) {
                let (price, qty) = scaled(level.price, level.qty)?;
                self.levels.push(Level { price, qty });
            }
            if side == Side::Bid {
                bids = self.levels.len();
            }
        }
        let last_top = match feed.last_top {
            Some(top) => {
                let (bid, ask) = (scaled(top.bid.0, top.bid.1)?, scaled(top.ask.0, top.ask.1)?);
                Some(Ticker { bid, ask, ..top })
            }
            None => None,
        };
        let horizon = |side| match feed.book.horizon(side) {
            Some(price) => scaled(price, Qty(0)).map(|(price, _)| Some(price)),
            None => Ok(None),
        };
        let horizons = [horizon(Side::Bid)?, horizon(Side::Ask)?];
        if !self.wire.set_scale(symbol, new) {
            return Err(ParseError::NumberOutOfRange);
        }
        feed.book.clear();
        let sides = [(Side::Bid, &self.levels[..bids]), (Side::Ask, &self.levels[bids..])];
        for ((side, levels), horizon) in sides.into_iter().zip(horizons) {
            if let Some(price) = horizon {
                feed.book.set_horizon(side, price);
            }
            for level in levels {
                feed.book.set(side, level.price, level.qty);
            }
        }
        self.checkpoints.forget(symbol);
        feed.last_top = last_top;
        feed.rebased = true;
        instrument.scale = new;
        // Where frames do not wait for the book, trades are told between two books as well.
        let is_known = feed.phase == Phase::Live || (!R::SNAPSHOTS.splices() && feed.told_scale.is_some());
        if is_known {
            feed.told_scale = Some(new);
            sink.on_event(FeedEvent::Rescaled { symbol, scale: new });
        }
        self.wire.read(frame, market, &mut self.changes, &mut self.prints)
    }
}
