//! The trades of the last moments: four windows over one ring, two by count and two by venue time, and two more that know
//! prices where somebody asked for them.

use std::ops::Range;

use super::window::Sum;

/// Trades that the ring keeps; a window by time holds at most so many. A power of two.
pub(super) const TAPE_LEN: usize = 4096;

/// A second in nanoseconds.
pub(super) const SECOND_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    price: i64,
    /// Positive where the buyer took.
    signed_qty: i64,
    /// On the engine's venue-time axis.
    at_ns: u64,
}

/// Sums over the newest entries of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TradeWindow {
    /// The number, since the start, of the oldest trade inside.
    tail: u64,
    signed: Sum,
    total: Sum,
}

impl TradeWindow {
    /// Signed over total quantity, 0 without a trade.
    pub(super) fn imbalance(&self) -> f64 {
        if self.total.0 == 0 {
            0.0
        } else {
            self.signed.to_f64() / self.total.to_f64()
        }
    }

    /// The summed quantity.
    pub(super) fn total(&self) -> Sum {
        self.total
    }

    fn add(&mut self, entry: &Entry) {
        self.signed.slide(entry.signed_qty, 0);
        self.total.slide(entry.signed_qty.abs(), 0);
    }

    fn drop_oldest(&mut self, entry: &Entry) {
        self.signed.slide(0, entry.signed_qty);
        self.total.slide(0, entry.signed_qty.abs());
        self.tail += 1;
    }
}

/// What the newest entries of the ring cost: the volume-weighted average price.
#[derive(Clone, Copy, Debug, Default)]
struct PriceWindow {
    trades: TradeWindow,
    notional: i128,
}

impl PriceWindow {
    fn add(&mut self, entry: &Entry) {
        self.trades.add(entry);
        self.notional += believable_notional(entry);
    }

    fn drop_oldest(&mut self, entry: &Entry) {
        self.trades.drop_oldest(entry);
        self.notional -= believable_notional(entry);
    }

    fn vwap(&self) -> Option<f64> {
        (self.trades.total.0 != 0).then(|| self.notional as f64 / self.trades.total.to_f64())
    }
}

/// The ring and its windows.
#[derive(Clone, Debug)]
pub(super) struct TradeTape {
    entries: Box<[Entry]>,
    pushed: u64,
    last_20: TradeWindow,
    notional_20: i128,
    last_100: TradeWindow,
    last_1s: TradeWindow,
    last_10s: TradeWindow,
    /// Over 10 s and 60 s.
    prices: Option<Box<[PriceWindow; 2]>>,
}

impl TradeTape {
    pub(super) fn new() -> Self {
        Self {
            entries: vec![Entry::default(); TAPE_LEN].into_boxed_slice(),
            pushed: 0,
            last_20: TradeWindow::default(),
            notional_20: 0,
            last_100: TradeWindow::default(),
            last_1s: TradeWindow::default(),
            last_10s: TradeWindow::default(),
            prices: None,
        }
    }

    /// The tape keeps [`vwaps`](Self::vwaps) as well.
    pub(super) fn with_vwaps(mut self) -> Self {
        self.prices = Some(Box::default());
        self
    }

    /// Forgets everything; the entries themselves need no wiping, no window reaches them.
    pub(super) fn clear(&mut self) {
        self.pushed = 0;
        self.last_20 = TradeWindow::default();
        self.notional_20 = 0;
        self.last_100 = TradeWindow::default();
        self.last_1s = TradeWindow::default();
        self.last_10s = TradeWindow::default();
        if let Some(prices) = &mut self.prices {
            **prices = Default::default();
        }
    }

    /// Adds a trade. `price` must be below 2^60 and `signed_qty` not `i64::MIN`: twenty products then fit 128 bits.
    pub(super) fn push(&mut self, price: i64, signed_qty: i64, now_ns: u64) {
        self.make_room();
        if self.prices.is_some() {
            self.make_room_for_price();
        }
        let entry = Entry {
            price,
            signed_qty,
            at_ns: now_ns,
        };
        self.entries[slot(self.pushed)] = entry;
        self.pushed += 1;
        self.notional_20 += notional(&entry);
        for window in [
            &mut self.last_20,
            &mut self.last_100,
            &mut self.last_1s,
            &mut self.last_10s,
        ] {
            window.add(&entry);
        }
        if self.pushed - self.last_20.tail > 20 {
            let oldest = self.entries[slot(self.last_20.tail)];
            self.notional_20 -= notional(&oldest);
            self.last_20.drop_oldest(&oldest);
        }
        if self.pushed - self.last_100.tail > 100 {
            self.last_100.drop_oldest(&self.entries[slot(self.last_100.tail)]);
        }
        self.expire_windows(now_ns);
        if self.prices.is_some() {
            self.push_price(now_ns);
        }
    }

    /// Lets the windows by time move on to `now_ns`. Each trade leaves a window once, so the cost per call is constant
    /// on average and bounded by the ring.
    pub(super) fn expire(&mut self, now_ns: u64) {
        self.expire_windows(now_ns);
        if self.prices.is_some() {
            self.expire_prices(now_ns);
        }
    }

    fn expire_windows(&mut self, now_ns: u64) {
        for (window, span_ns) in [(&mut self.last_1s, SECOND_NS), (&mut self.last_10s, 10 * SECOND_NS)] {
            while let Some(oldest) = overdue(&self.entries, window.tail..self.pushed, now_ns, span_ns) {
                window.drop_oldest(oldest);
            }
        }
    }

    pub(super) fn last_20(&self) -> &TradeWindow {
        &self.last_20
    }

    pub(super) fn last_100(&self) -> &TradeWindow {
        &self.last_100
    }

    pub(super) fn last_1s(&self) -> &TradeWindow {
        &self.last_1s
    }

    pub(super) fn last_10s(&self) -> &TradeWindow {
        &self.last_10s
    }

    /// The volume-weighted average price of the last 20 trades, `None` without a trade.
    pub(super) fn vwap_20(&self) -> Option<f64> {
        if self.last_20.total.0 == 0 {
            None
        } else {
            Some(self.notional_20 as f64 / self.last_20.total.to_f64())
        }
    }

    /// The volume-weighted average prices of the last 10 s and 60 s, `None` without a trade there, or where the tape was not
    /// told to keep them.
    pub(super) fn vwaps(&self) -> [Option<f64>; 2] {
        match &self.prices {
            Some(prices) => prices.map(|window| window.vwap()),
            None => [None; 2],
        }
    }

    /// How many trades are inside one of the windows.
    pub(super) fn count_of(&self, window: &TradeWindow) -> u64 {
        self.pushed - window.tail
    }

    /// The same for the windows of prices. Out of line, like what follows: most tapes have none.
    #[inline(never)]
    fn make_room_for_price(&mut self) {
        for window in self.prices.iter_mut().flat_map(|prices| prices.iter_mut()) {
            if self.pushed - window.trades.tail == TAPE_LEN as u64 {
                window.drop_oldest(&self.entries[slot(window.trades.tail)]);
            }
        }
    }

    /// Adds the newest trade to the windows of prices.
    #[inline(never)]
    fn push_price(&mut self, now_ns: u64) {
        let newest = &self.entries[slot(self.pushed - 1)];
        for window in self.prices.iter_mut().flat_map(|prices| prices.iter_mut()) {
            window.add(newest);
        }
        self.expire_prices(now_ns);
    }

    #[inline(never)]
    fn expire_prices(&mut self, now_ns: u64) {
        let Some(prices) = &mut self.prices else {
            return;
        };
        for (window, span_ns) in prices.iter_mut().zip([10 * SECOND_NS, 60 * SECOND_NS]) {
            while let Some(oldest) = overdue(&self.entries, window.trades.tail..self.pushed, now_ns, span_ns) {
                window.drop_oldest(oldest);
            }
        }
    }

    /// Frees the slot that the next trade will take from the windows that still hold it.
    fn make_room(&mut self) {
        for window in [&mut self.last_1s, &mut self.last_10s] {
            if self.pushed - window.tail == TAPE_LEN as u64 {
                window.drop_oldest(&self.entries[slot(window.tail)]);
            }
        }
    }
}

/// The oldest of these trades, if a window of that span has left it behind.
#[inline]
fn overdue(entries: &[Entry], numbers: Range<u64>, now_ns: u64, span_ns: u64) -> Option<&Entry> {
    let oldest = &entries[slot(numbers.start)];
    (!numbers.is_empty() && now_ns - oldest.at_ns >= span_ns).then_some(oldest)
}

fn slot(number: u64) -> usize {
    number as usize & (TAPE_LEN - 1)
}

fn notional(entry: &Entry) -> i128 {
    i128::from(entry.price) * i128::from(entry.signed_qty.unsigned_abs())
}

/// The same, but no more than what the ring can sum: a trade for more is absurd, and leaves as it came.
fn believable_notional(entry: &Entry) -> i128 {
    notional(entry).min(NOTIONAL_MAX)
}

const NOTIONAL_MAX: i128 = i128::MAX / TAPE_LEN as i128;
