//! What the feature tests share: books from plain lists, and a feature engine that is slow and obviously right. It keeps
//! every update and every trade, and computes each value from the whole history by its definition.

#![allow(dead_code, reason = "each test file uses a part of it")]

mod extras;

use quantumflow::features::{FEATURE_COUNT, Feature, FeatureEngine, FeatureVector, registry::FEATURES};
use quantumflow_feeds::book::Book;
use quantumflow_feeds::{BookUpdate, Instrument, Price, Qty, Quality, Scale, Side, SymbolId, Trade, UnixNanos};

/// Price and quantity, best first.
pub(crate) type Levels = Vec<(i64, i64)>;

/// One call of a sink.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Book {
        time_ns: u64,
        snapshot: bool,
        bids: Levels,
        asks: Levels,
    },
    Trade {
        time_ns: u64,
        price: i64,
        qty: i64,
        buyer: bool,
    },
}

pub(crate) fn instrument() -> Instrument {
    Instrument {
        id: SymbolId(0),
        symbol: "BTCUSDT".to_owned(),
        scale: Scale { price: 2, qty: 3 },
    }
}

pub(crate) fn book_of(bids: &Levels, asks: &Levels) -> Book {
    let mut book = Book::new();
    for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
        for &(price, qty) in levels {
            book.set(side, Price(price), Qty(qty));
        }
    }
    book
}

/// Gives one call to the engine; a book update returns its row.
pub(crate) fn feed(engine: &mut FeatureEngine, instrument: &Instrument, call: &Call) -> Option<FeatureVector> {
    match call {
        Call::Book {
            time_ns,
            snapshot,
            bids,
            asks,
        } => {
            let book = book_of(bids, asks);
            engine
                .on_book(&book_update(instrument, &book, *time_ns, *snapshot))
                .copied()
        }
        Call::Trade {
            time_ns,
            price,
            qty,
            buyer,
        } => {
            engine.on_trade(&trade(instrument, *time_ns, *price, *qty, *buyer));
            None
        }
    }
}

pub(crate) fn book_update<'a>(
    instrument: &'a Instrument,
    book: &'a Book,
    time_ns: u64,
    is_snapshot: bool,
) -> BookUpdate<'a> {
    BookUpdate {
        instrument,
        book,
        changes: &[],
        update_id: 0,
        exchange_time: UnixNanos(time_ns),
        quality: Quality::Verified,
        is_snapshot,
    }
}

pub(crate) fn trade(instrument: &Instrument, time_ns: u64, price: i64, qty: i64, buyer: bool) -> Trade<'_> {
    Trade {
        instrument,
        price: Price(price),
        qty: Qty(qty),
        aggressor: if buyer { Side::Bid } else { Side::Ask },
        trade_id: 0,
        exchange_time: UnixNanos(time_ns),
    }
}

/// The slow engine. It expects usable books, and times as a venue gives them (no zeros, no leaps).
#[derive(Default)]
pub(crate) struct Reference {
    pub(crate) books: Vec<(u64, Levels, Levels)>,
    pub(crate) trades: Vec<(u64, i64, i64)>,
    pub(crate) now_ns: u64,
}

impl Reference {
    /// Takes a call and tells whether it gives a row.
    pub(crate) fn take(&mut self, call: &Call) -> bool {
        match call {
            Call::Book {
                time_ns,
                snapshot,
                bids,
                asks,
            } => {
                if *snapshot {
                    *self = Self::default();
                }
                self.now_ns = self.now_ns.max(*time_ns);
                self.books.push((self.now_ns, bids.clone(), asks.clone()));
                self.books.len() > 100
            }
            Call::Trade {
                time_ns,
                price,
                qty,
                buyer,
            } => {
                self.now_ns = self.now_ns.max(*time_ns);
                self.trades
                    .push((self.now_ns, *price, if *buyer { *qty } else { -*qty }));
                false
            }
        }
    }

    /// The row after the last book; a feature that is not warm is 0.
    pub(crate) fn row(&self) -> [f64; FEATURE_COUNT] {
        let mut row = self.base();
        self.extras(&mut row);
        for def in FEATURES
            .iter()
            .filter(|def| self.books.len() < usize::from(def.warm_up_updates))
        {
            row[def.feature as usize] = 0.0;
        }
        row
    }

    fn base(&self) -> [f64; FEATURE_COUNT] {
        let (_, bids, asks) = self.books.last().unwrap();
        let last = self.books.len() - 1;
        let mid2 = self.mid2(last) as f64;
        let tick = self.tick() as f64;
        let spread = (asks[0].0 - bids[0].0) as f64;
        let weighted_mid = (asks[0].0 as f64 * bids[0].1 as f64 + bids[0].0 as f64 * asks[0].1 as f64)
            / (bids[0].1 + asks[0].1) as f64;

        let mut row = [f64::NAN; FEATURE_COUNT];
        let mut set = |feature: Feature, value: f64| row[feature as usize] = value;
        set(Feature::SpreadTicks, spread / tick);
        set(Feature::SpreadBps, 1e4 * spread / (mid2 / 2.0));
        set(Feature::MicropriceTicks, (weighted_mid - mid2 / 2.0) / tick);
        for (feature, levels) in [
            (Feature::QueueImbalance, 1),
            (Feature::Imbalance3, 3),
            (Feature::Imbalance5, 5),
            (Feature::Imbalance10, 10),
        ] {
            set(
                feature,
                imbalance(total(bids, levels) as f64, total(asks, levels) as f64),
            );
        }
        let weighted = |side: &Levels| -> f64 {
            side.iter()
                .take(10)
                .enumerate()
                .map(|(l, &(_, q))| (-0.5 * l as f64).exp() * q as f64)
                .sum()
        };
        set(Feature::ImbalanceExp10, imbalance(weighted(bids), weighted(asks)));
        set(
            Feature::GapImbalance,
            match (bids.get(1), asks.get(1)) {
                (Some(bid), Some(ask)) => imbalance((ask.0 - asks[0].0) as f64, (bids[0].0 - bid.0) as f64),
                _ => 0.0,
            },
        );
        let distance = |side: &Levels| -> f64 {
            let sum: f64 = side
                .iter()
                .take(10)
                .map(|&(p, q)| q as f64 * (p as f64 - mid2 / 2.0).abs())
                .sum();
            sum / total(side, 10) as f64
        };
        set(Feature::DistanceImbalance10, imbalance(distance(asks), distance(bids)));
        let depth_10 = self.depth(last, 10) as f64;
        set(Feature::TouchShare10, self.depth(last, 1) as f64 / depth_10);
        set(
            Feature::DepthChange50,
            imbalance(depth_10, 2.0 * self.mean_queue(10, 50) * 10.0),
        );

        let queue_10 = self.mean_queue(5, 10);
        set(Feature::Ofi1Last, self.flow(last, 1) as f64 / queue_10);
        for (level, feature) in [
            Feature::Ofi1W10,
            Feature::Ofi2W10,
            Feature::Ofi3W10,
            Feature::Ofi4W10,
            Feature::Ofi5W10,
        ]
        .into_iter()
        .enumerate()
        {
            set(feature, self.window_flow(10, level + 1..=level + 1) / queue_10);
        }
        set(Feature::Ofi1W50, self.window_flow(50, 1..=1) / self.mean_queue(5, 50));
        set(Feature::OfiTo5W50, self.window_flow(50, 1..=5) / self.mean_queue(5, 50));
        set(
            Feature::OfiTo10W50,
            self.window_flow(50, 1..=10) / self.mean_queue(10, 50),
        );

        let count = self.trades.len();
        set(
            Feature::TradeImbalance20,
            trade_imbalance(&self.trades[count.saturating_sub(20)..]),
        );
        set(
            Feature::TradeImbalance100,
            trade_imbalance(&self.trades[count.saturating_sub(100)..]),
        );
        for (feature, span_ns) in [
            (Feature::TradeImbalance1s, 1_000_000_000),
            (Feature::TradeImbalance10s, 10_000_000_000),
        ] {
            let inside: Vec<_> = self
                .trades
                .iter()
                .filter(|trade| self.now_ns - trade.0 < span_ns)
                .copied()
                .collect();
            set(feature, trade_imbalance(&inside));
        }
        let newest = &self.trades[count.saturating_sub(20)..];
        let notional: f64 = newest.iter().map(|&(_, p, v)| p as f64 * v.abs() as f64).sum();
        let volume: f64 = newest.iter().map(|&(_, _, v)| v.abs() as f64).sum();
        set(
            Feature::Vwap20Bps,
            if newest.is_empty() {
                0.0
            } else {
                1e4 * (notional / volume - mid2 / 2.0) / (mid2 / 2.0)
            },
        );

        for (feature, back) in [(Feature::Return10Bps, 10), (Feature::Return50Bps, 50)] {
            set(feature, 1e4 * (mid2 / self.mid2(last - back) as f64 - 1.0));
        }
        set(Feature::Return1sBps, 1e4 * (mid2 / self.mid_average(1.0) - 1.0));
        set(Feature::Volatility1sBps, 1e4 * self.variance_rate(1.0).sqrt());
        set(Feature::Volatility30sBps, 1e4 * self.variance_rate(30.0).sqrt());
        let squares: i128 = (last - 99..=last)
            .map(|at| i128::from(self.mid2(at) - self.mid2(at - 1)).pow(2))
            .sum();
        set(Feature::Volatility100Bps, 1e4 * (squares as f64).sqrt() / mid2);
        row
    }

    pub(crate) fn mid2(&self, at: usize) -> i64 {
        self.books[at].1[0].0 + self.books[at].2[0].0
    }

    /// The greatest number that divides all prices seen, by trial of the parts of the first spread.
    pub(crate) fn tick(&self) -> i64 {
        let first = self.books[0]
            .1
            .iter()
            .take(10)
            .chain(self.books[0].2.iter().take(10))
            .map(|level| level.0);
        let later = self.books[1..]
            .iter()
            .flat_map(|(_, bids, asks)| [bids[0].0, asks[0].0]);
        let prices: Vec<i64> = first.chain(later).collect();
        let spread = self.books[0].2[0].0 - self.books[0].1[0].0;
        (1..=spread)
            .filter(|parts| spread % parts == 0)
            .map(|parts| spread / parts)
            .find(|step| prices.iter().all(|price| price % step == 0))
            .unwrap()
    }

    pub(crate) fn depth(&self, at: usize, levels: usize) -> i64 {
        total(&self.books[at].1, levels) + total(&self.books[at].2, levels)
    }

    pub(crate) fn mean_queue(&self, levels: usize, window: usize) -> f64 {
        let last = self.books.len() - 1;
        let sum: i64 = (last + 1 - window..=last).map(|at| self.depth(at, levels)).sum();
        sum as f64 / (2 * levels * window) as f64
    }

    /// `e` of one level (from 1) in one update.
    fn flow(&self, at: usize, level: usize) -> i64 {
        let side = |levels: &Levels, none: i64| levels.get(level - 1).copied().unwrap_or((none, 0));
        let (bid, bid_before) = (side(&self.books[at].1, i64::MIN), side(&self.books[at - 1].1, i64::MIN));
        let (ask, ask_before) = (side(&self.books[at].2, i64::MAX), side(&self.books[at - 1].2, i64::MAX));
        // Cont, Kukanov and Stoikov's form, with indicators.
        i64::from(bid.0 >= bid_before.0) * bid.1
            - i64::from(bid.0 <= bid_before.0) * bid_before.1
            - i64::from(ask.0 <= ask_before.0) * ask.1
            + i64::from(ask.0 >= ask_before.0) * ask_before.1
    }

    pub(crate) fn window_flow(&self, window: usize, levels: std::ops::RangeInclusive<usize>) -> f64 {
        let last = self.books.len() - 1;
        (last + 1 - window..=last)
            .map(|at| levels.clone().map(|level| self.flow(at, level)).sum::<i64>())
            .sum::<i64>() as f64
    }

    fn dt_s(&self, at: usize) -> f64 {
        (self.books[at].0 - self.books[at - 1].0) as f64 * 1e-9
    }

    pub(crate) fn mid_average(&self, tau_s: f64) -> f64 {
        let mut average = self.mid2(0) as f64;
        for at in 1..self.books.len() {
            let share = self.dt_s(at) / (tau_s + self.dt_s(at));
            average = (1.0 - share) * average + share * self.mid2(at) as f64;
        }
        average
    }

    /// The weighted mean of `r^2 / dt`, each sample's weight the product over all later updates, so newest first.
    fn variance_rate(&self, tau_s: f64) -> f64 {
        let (mut sum, mut weights, mut later) = (0.0, 0.0, 1.0);
        for at in (1..self.books.len()).rev() {
            let change = self.mid2(at) as f64 / self.mid2(at - 1) as f64 - 1.0;
            sum += later * change * change / (tau_s + self.dt_s(at));
            weights += later * self.dt_s(at) / (tau_s + self.dt_s(at));
            later *= tau_s / (tau_s + self.dt_s(at));
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }
}

pub(crate) fn imbalance(x: f64, y: f64) -> f64 {
    if x + y == 0.0 { 0.0 } else { (x - y) / (x + y) }
}

pub(crate) fn total(levels: &Levels, count: usize) -> i64 {
    levels.iter().take(count).map(|level| level.1).sum()
}

fn trade_imbalance(trades: &[(u64, i64, i64)]) -> f64 {
    let signed: i64 = trades.iter().map(|trade| trade.2).sum();
    let volume: i64 = trades.iter().map(|trade| trade.2.abs()).sum();
    if volume == 0 {
        0.0
    } else {
        signed as f64 / volume as f64
    }
}
