//! A venue's wire with a mistake in it: what it has read rightly is made wrong.

use super::Mistake;
use super::shadow::Shadow;
use crate::event::LevelChange;
use crate::types::{Price, Qty, Scale, Side, SymbolId};
use crate::venue::message::{Market, Message, MessageDecimals, ParseError, Print, Route};
use crate::venue::wire::Wire;

/// The wire `W` but for the current [`Mistake`]. Of one symbol.
pub(super) struct MutatedWire<W> {
    inner: W,
    /// The book as it was sent.
    sent: Shadow,
    /// The book as it was passed on.
    told: Shadow,
    update_count: usize,
    level_count: usize,
}

impl<W: Wire> Wire for MutatedWire<W> {
    type Head = W::Head;

    const COUNTS_FRAMES: bool = W::COUNTS_FRAMES;

    fn new<'a>(symbols: impl Iterator<Item = &'a str> + Clone) -> Self {
        Self {
            inner: W::new(symbols),
            sent: Shadow::default(),
            told: Shadow::default(),
            update_count: 0,
            level_count: 0,
        }
    }

    fn set_scale(&mut self, symbol: SymbolId, scale: Scale) -> bool {
        self.sent.rescale(scale);
        self.told.rescale(scale);
        self.inner.set_scale(symbol, scale)
    }

    fn route(&mut self, frame: &[u8]) -> Result<Route<Self::Head>, ParseError> {
        self.inner.route(frame)
    }

    fn part_behind(&mut self, frame: &[u8], part: u16) -> Option<Market<Self::Head>> {
        self.inner.part_behind(frame, part)
    }

    fn has_hidden_parts(&self) -> bool {
        self.inner.has_hidden_parts()
    }

    fn sequence(&self) -> Option<u64> {
        match Mistake::current() {
            Mistake::LostUnnoticed => None,
            _ => self.inner.sequence(),
        }
    }

    fn scan(
        &mut self,
        frame: &[u8],
        head: &Self::Head,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Option<Message> {
        self.inner.scan(frame, head, changes, prints)
    }

    fn read_slowly(
        &mut self,
        frame: &[u8],
        part: u16,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        self.inner.read_slowly(frame, part, changes, prints)
    }

    fn read(
        &mut self,
        frame: &[u8],
        market: &Market<Self::Head>,
        changes: &mut Vec<LevelChange>,
        prints: &mut Vec<Print>,
    ) -> Result<Message, ParseError> {
        let message = self.inner.read(frame, market, changes, prints)?;
        if let Message::Book(book) = message {
            self.distort(book.is_snapshot, changes);
        }
        Ok(message)
    }

    fn decimals(&mut self, frame: &[u8], part: u16) -> Result<MessageDecimals, ParseError> {
        self.inner.decimals(frame, part)
    }

    fn rest_snapshot(&mut self, body: &[u8], levels: &mut Vec<LevelChange>) -> Result<(u64, Scale), ParseError> {
        let (last_update_id, scale) = self.inner.rest_snapshot(body, levels)?;
        self.sent.rescale(scale);
        self.told.rescale(scale);
        self.distort(true, levels);
        Ok((last_update_id, scale))
    }

    fn symbol_in_wreckage(&self, frame: &[u8]) -> Option<SymbolId> {
        self.inner.symbol_in_wreckage(frame)
    }
}

impl<W: Wire> MutatedWire<W> {
    fn distort(&mut self, is_snapshot: bool, changes: &mut Vec<LevelChange>) {
        if is_snapshot {
            self.sent.clear();
        }
        changes.iter().for_each(|change| self.sent.set(change));
        let mut old = Shadow::default();
        if is_snapshot {
            old = self.told.clone();
            self.told.clear();
        } else {
            self.update_count += 1;
        }
        let mistake = Mistake::current();
        match mistake {
            Mistake::OrderReversed => changes.reverse(),
            Mistake::SeedShort if is_snapshot => {
                let sent = &self.sent;
                changes.retain(|level| sent.rank(level.side, level.price) < 10);
            }
            Mistake::SnapshotMerged if is_snapshot => {
                let sent = &self.sent;
                changes.extend(old.levels().filter(|level| sent.qty(level.side, level.price) == Qty(0)));
            }
            _ => {}
        }
        if !is_snapshot {
            match mistake {
                Mistake::DeletesIgnored => changes.retain(|change| change.qty > Qty(0)),
                Mistake::LastLevelDropped => drop(changes.pop()),
                Mistake::UpdateForWhole => {
                    let gone = self.told.levels().map(|level| LevelChange { qty: Qty(0), ..level });
                    changes.splice(..0, gone.collect::<Vec<_>>());
                }
                Mistake::UpdateSkipped if self.update_count.is_multiple_of(ONE_IN) => changes.clear(),
                _ => changes
                    .iter_mut()
                    .for_each(|change| self.distort_change(mistake, change)),
            }
        }
        changes.iter().for_each(|change| self.told.set(change));
    }

    fn distort_change(&mut self, mistake: Mistake, change: &mut LevelChange) {
        let is_delete = change.qty == Qty(0);
        let rank = || self.sent.rank(change.side, change.price);
        match mistake {
            Mistake::SidesSwapped => {
                change.side = match change.side {
                    Side::Bid => Side::Ask,
                    Side::Ask => Side::Bid,
                }
            }
            Mistake::Added if !is_delete => change.qty.0 += self.told.qty(change.side, change.price).0,
            Mistake::BestQuantityOff if !is_delete && rank() == 0 => change.qty.0 += 1,
            Mistake::DeepQuantityOff if !is_delete && rank() >= 10 => change.qty.0 += 1,
            Mistake::PriceOff if !is_delete => {
                self.level_count += 1;
                if self.level_count.is_multiple_of(ONE_IN) {
                    change.price = Price(change.price.0 + 1);
                }
            }
            _ => {}
        }
    }
}

/// What goes wrong now and then goes wrong so often.
pub(super) const ONE_IN: usize = 20;
