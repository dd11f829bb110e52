//! A REST book that a shown one is held against: read on a cold thread, handed over by value.
//!
//! A body of hundreds of levels costs a hot thread more than all messages of that time. So a
//! [`BookReader`](super::BookReader) reads it where it was fetched, and what is handed over is the best of it, in a value
//! of fixed size that owns nothing.

use crate::book::Level;
use crate::decimal::power_of_ten;
use crate::event::{LevelChange, SnapshotFault};
use crate::types::{Price, Qty, Scale, Side, SymbolId};

/// The best levels of a venue's REST book, and the update id that it stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose book.
    pub symbol: SymbolId,
    /// The venue's id of this state.
    pub update_id: u64,
    /// The decimals of the levels: as few as hold them, which is not the scale of the instrument.
    scale: Scale,
    levels: [[Level; Self::LEVELS]; 2],
    counts: [u8; 2],
}

impl Checkpoint {
    /// Levels of each side that are kept. A wrong one below them is not found.
    pub const LEVELS: usize = 50;

    /// The levels of a side, best first, as mantissas at `scale`; `None` where that cannot hold them.
    pub(super) fn levels(&self, side: Side, scale: Scale) -> Option<impl ExactSizeIterator<Item = Level> + '_> {
        let factor = |to: u8, from: u8| to.checked_sub(from).and_then(power_of_ten);
        let price = factor(scale.price, self.scale.price)?;
        let qty = factor(scale.qty, self.scale.qty)?;
        let levels = &self.levels[side as usize][..usize::from(self.counts[side as usize])];
        let fits = |level: &Level| {
            level
                .price
                .0
                .checked_mul(price)
                .and(level.qty.0.checked_mul(qty))
                .is_some()
        };
        let scaled = move |level: &Level| Level {
            price: Price(level.price.0 * price),
            qty: Qty(level.qty.0 * qty),
        };
        levels.iter().all(fits).then(|| levels.iter().map(scaled))
    }

    pub(super) fn new(
        symbol: SymbolId,
        (update_id, scale): (u64, Scale),
        changes: &[LevelChange],
    ) -> Result<Self, SnapshotFault> {
        let mut checkpoint = Self {
            symbol,
            update_id,
            scale,
            levels: [[Level::default(); Self::LEVELS]; 2],
            counts: [0; 2],
        };
        for &LevelChange { side, price, qty } in changes {
            let (levels, count) = (
                &mut checkpoint.levels[side as usize],
                &mut checkpoint.counts[side as usize],
            );
            let at = usize::from(*count);
            if at == Self::LEVELS {
                continue;
            }
            let is_sorted = at == 0 || is_better(side, levels[at - 1].price, price);
            if qty <= Qty(0) || price <= Price(0) || !is_sorted {
                return Err(SnapshotFault::Malformed);
            }
            levels[at] = Level { price, qty };
            *count += 1;
        }
        let [bids, asks] = &checkpoint.levels;
        // A market without orders on one side is possible; without any it is what a mistaken reply looks like.
        match checkpoint.counts {
            [0, 0] => Err(SnapshotFault::Malformed),
            [bid_count, ask_count] if bid_count > 0 && ask_count > 0 && bids[0].price >= asks[0].price => {
                Err(SnapshotFault::Malformed)
            }
            _ => Ok(checkpoint),
        }
    }
}

/// Whether `a` is the better price of a side.
pub(super) fn is_better(side: Side, a: Price, b: Price) -> bool {
    match side {
        Side::Bid => a > b,
        Side::Ask => a < b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::VenueId;
    use crate::venue::BookReader;

    const SPOT: &str = r#"{"lastUpdateId":7,"bids":[["10.10000000","1.00000000"],["10.00000000","2.50000000"]],"asks":[["10.20000000","3.00000000"]]}"#;

    fn read(venue: VenueId, body: &str) -> Result<Checkpoint, SnapshotFault> {
        BookReader::new(venue).checkpoint(SymbolId(3), body.as_bytes())
    }

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    #[test]
    fn a_book_is_read_at_the_scale_of_the_instrument() {
        let checkpoint = read(VenueId::BinanceSpot, SPOT).unwrap();
        assert_eq!((checkpoint.symbol, checkpoint.update_id), (SymbolId(3), 7));
        let scale = Scale { price: 2, qty: 3 };
        let side = |side| checkpoint.levels(side, scale).unwrap().collect::<Vec<_>>();
        assert_eq!(side(Side::Bid), [level(1010, 1000), level(1000, 2500)]);
        assert_eq!(side(Side::Ask), [level(1020, 3000)]);
        let coarse = checkpoint.levels(Side::Bid, Scale { price: 0, qty: 3 });
        assert!(coarse.is_none(), "10.1 is no whole number");
    }

    #[test]
    fn every_venue_with_checkpoints_has_its_shape() {
        let usdm = r#"{"lastUpdateId":7,"E":1,"T":1,"bids":[["10.10","1.000"]],"asks":[["10.20","3.000"]]}"#;
        let okx = r#"{"code":"0","msg":"","data":[{"asks":[["10.2","3","0","1"]],"bids":[["10.1","1","0","1"]],"ts":"1","seqId":7}]}"#;
        let bybit = r#"{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["10.2","3"]],"b":[["10.1","1"]],"ts":1,"u":7,"seq":9,"cts":1},"retExtInfo":{},"time":1}"#;
        let rows = [
            (VenueId::BinanceUsdm, usdm),
            (VenueId::OkxV5, okx),
            (VenueId::BybitSpot, bybit),
            (VenueId::BybitLinear, bybit),
        ];
        for (venue, body) in rows {
            let checkpoint = read(venue, body).unwrap();
            let scale = Scale { price: 2, qty: 3 };
            let bids: Vec<_> = checkpoint.levels(Side::Bid, scale).unwrap().collect();
            assert_eq!((checkpoint.update_id, bids), (7, vec![level(1010, 1000)]), "{venue}");
            for len in 0..body.len() {
                assert!(read(venue, &body[..len]).is_err(), "{venue} cut to {len}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_book_is_refused() {
        let refused = [
            SPOT.replace("10.10000000", "10.20000000"), // crossed
            SPOT.replace("10.00000000", "10.10000000"), // a price twice
            SPOT.replace("10.00000000", "10.15000000"), // not sorted
            SPOT.replace("2.50000000", "0.00000000"),
            r#"{"lastUpdateId":7,"bids":[],"asks":[]}"#.to_owned(),
            r#"{"code":-1003,"msg":"Too many requests"}"#.to_owned(),
        ];
        for body in refused {
            assert_eq!(
                read(VenueId::BinanceSpot, &body),
                Err(SnapshotFault::Malformed),
                "{body}"
            );
        }
        assert!(read(VenueId::KrakenV2, SPOT).is_err());
    }
}
