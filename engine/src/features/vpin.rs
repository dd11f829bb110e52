//! VPIN: how one-sided trading was over the last buckets of equal volume.
//!
//! Easley, López de Prado and O'Hara (2012) cut the stream of trades into buckets of one volume, splitting a trade at the
//! border, and take the mean share of each that bought and sold do not balance. They guess the sides from price changes;
//! venues tell them here, which Andersen and Bondarenko (2014) found to matter: with true sides much of what VPIN
//! seemed to foresee was volume itself.
//!
//! Their bucket is a fiftieth of a day's volume. An engine that begins anew with each snapshot knows no day, so a bucket is
//! [`TRADES_PER_BUCKET`] times the mean quantity of the last 100 trades, taken when it opens: it follows the market.

use super::window::Sum;

/// How many mean trades fill a bucket.
pub(super) const TRADES_PER_BUCKET: i128 = 10;

/// How many buckets the value is over.
pub(super) const BUCKETS: usize = 50;

/// The volume of the next bucket, from the summed quantity of so many trades; at least a lot.
pub(super) fn bucket_volume(total: Sum, trades: u64) -> i64 {
    let volume = total.0 * TRADES_PER_BUCKET / i128::from(trades.max(1));
    i64::try_from(volume).unwrap_or(i64::MAX).max(1)
}

/// A closed bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    imbalance: i64,
    volume: i64,
}

/// The last buckets and the open one.
#[derive(Clone, Debug)]
pub(super) struct Vpin {
    closed: Box<[Bucket]>,
    /// Where the next closed bucket goes: the oldest place.
    next: usize,
    imbalances: Sum,
    volumes: Sum,
    /// Bought less sold in the open bucket.
    signed: i64,
    filled: i64,
    /// The volume of the open bucket; 0 before the first trade.
    volume: i64,
}

impl Vpin {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            closed: vec![Bucket::default(); buckets].into_boxed_slice(),
            next: 0,
            imbalances: Sum::default(),
            volumes: Sum::default(),
            signed: 0,
            filled: 0,
            volume: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.closed.fill(Bucket::default());
        self.next = 0;
        self.imbalances = Sum::default();
        self.volumes = Sum::default();
        (self.signed, self.filled, self.volume) = (0, 0, 0);
    }

    /// Adds a trade (not `i64::MIN`). A bucket that it opens takes `volume`, which is above 0.
    pub(super) fn push(&mut self, signed_qty: i64, volume: i64) {
        let sign = signed_qty.signum();
        let mut rest = signed_qty.abs();
        if self.volume == 0 {
            self.volume = volume;
        }
        // A trade that fills more buckets than there are leaves only its own behind, so the loop has an end that does not
        // depend on the quantity.
        let opened = rest.saturating_sub(self.volume - self.filled) / volume;
        let beyond = (opened - self.closed.len() as i64).max(0);
        if beyond > 0 {
            self.close_filled_by(sign, &mut rest, volume);
            rest -= beyond * volume;
        }
        while rest >= self.volume - self.filled {
            self.close_filled_by(sign, &mut rest, volume);
        }
        self.signed += sign * rest;
        self.filled += rest;
    }

    /// Mean share of the buckets' volume that was not balanced, weighted by volume; 0 before the first is closed.
    pub(super) fn value(&self) -> f64 {
        match self.volumes.0 {
            0 => 0.0,
            _ => self.imbalances.to_f64() / self.volumes.to_f64(),
        }
    }

    fn close_filled_by(&mut self, sign: i64, rest: &mut i64, volume: i64) {
        let missing = self.volume - self.filled;
        *rest -= missing;
        let bucket = Bucket {
            imbalance: (self.signed + sign * missing).abs(),
            volume: self.volume,
        };
        let oldest = std::mem::replace(&mut self.closed[self.next], bucket);
        self.next = (self.next + 1) % self.closed.len();
        self.imbalances.slide(bucket.imbalance, oldest.imbalance);
        self.volumes.slide(bucket.volume, oldest.volume);
        (self.signed, self.filled, self.volume) = (0, 0, volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lot by lot: nothing to split, nothing to skip.
    fn by_lots(trades: &[(i64, i64)], buckets: usize) -> f64 {
        let mut closed: Vec<(i64, i64)> = Vec::new();
        let (mut signed, mut filled, mut volume) = (0_i64, 0, 0);
        for &(signed_qty, next_volume) in trades {
            if volume == 0 {
                volume = next_volume;
            }
            for _ in 0..signed_qty.abs() {
                signed += signed_qty.signum();
                filled += 1;
                if filled == volume {
                    closed.push((signed.abs(), volume));
                    (signed, filled, volume) = (0, 0, next_volume);
                }
            }
        }
        let newest = &closed[closed.len().saturating_sub(buckets)..];
        let of = |pick: fn(&(i64, i64)) -> i64| newest.iter().map(pick).sum::<i64>() as f64;
        if newest.is_empty() {
            0.0
        } else {
            of(|bucket| bucket.0) / of(|bucket| bucket.1)
        }
    }

    proptest! {
        #[test]
        fn it_is_what_counting_lot_by_lot_gives(
            trades in proptest::collection::vec((prop_oneof![-40_i64..=40, -4000_i64..=4000], 1_i64..60), 1..60),
            buckets in 1_usize..12,
        ) {
            let mut vpin = Vpin::new(buckets);
            for (count, &(signed_qty, volume)) in trades.iter().enumerate() {
                vpin.push(signed_qty, volume);
                prop_assert_eq!(vpin.value(), by_lots(&trades[..=count], buckets));
            }
        }

        #[test]
        fn any_trade_is_taken_in_bounded_time(trades in proptest::collection::vec((-i64::MAX..=i64::MAX, 1..=i64::MAX), 1..100)) {
            let mut vpin = Vpin::new(BUCKETS);
            for (signed_qty, volume) in trades {
                vpin.push(signed_qty, volume);
                vpin.push(signed_qty, 1);
                prop_assert!((0.0..=1.0).contains(&vpin.value()));
            }
        }
    }

    #[test]
    fn values_equal_the_stored_ones() {
        const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/feature_vectors.json");
        let Ok(text) = std::fs::read_to_string(VECTORS) else {
            println!("skipped: {VECTORS} is not there");
            return;
        };
        let vectors: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let stored = &vectors["features"]["vpin"];
        let int = |value: &serde_json::Value| value.as_i64().expect("a whole number");
        let mut vpin = Vpin::new(int(&stored["n"]) as usize);
        let closings: Vec<i64> = stored["bucket_close_trade"]
            .as_array()
            .expect("a list")
            .iter()
            .map(int)
            .collect();
        let mut checked = 0;
        for (index, trade) in vectors["trades_event_priceTicks_lots_sign"]
            .as_array()
            .expect("a list")
            .iter()
            .enumerate()
        {
            vpin.push(int(&trade[2]) * int(&trade[3]), int(&stored["V"]));
            let Some(bucket) = closings.iter().position(|&at| at as usize == index) else {
                continue;
            };
            let expected = stored["value"][bucket].as_f64().expect("a number");
            assert!(
                (vpin.value() - expected).abs() < 1e-15,
                "bucket {bucket}: {} instead of {expected}",
                vpin.value()
            );
            checked += 1;
        }
        assert_eq!(checked, closings.len());
    }

    #[test]
    fn a_bucket_is_ten_mean_trades_and_at_least_a_lot() {
        for (total, trades, volume) in [
            (0, 0, 1),
            (7, 100, 1),
            (25, 1, 250),
            (1_234, 100, 123),
            (i128::MAX / 10, 1, i64::MAX),
        ] {
            assert_eq!(bucket_volume(Sum(total), trades), volume, "{total} in {trades}");
        }
    }
}
