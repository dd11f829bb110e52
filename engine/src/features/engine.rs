//! The row of one instrument, kept up to date.
//!
//! Per update the engine reads the ten best levels of each side, compares them with the ten of the update before, and
//! moves a handful of integer sums. What must survive an update is integers (sums, previous levels, past mid prices) or
//! an average that forgets; the row itself is computed anew from them.

use quantumflow_feeds::{BookUpdate, Price, Qty, Scale, Side, Trade};

use super::average::VarianceRate;
use super::depth::{DEPTH_5, DEPTH_10, Depth, FLOW_COLUMNS, FLOW_TO_5, FLOW_TO_10, PRICE_MAX, imbalance};
use super::extras::{Extras, FlowAndDepth, Sight, Step};
use super::registry::{BASE_FEATURES, FEATURE_COUNT, FEATURES, Feature, WARM_UP_UPDATES};
use super::tape::TradeTape;
use super::time::VenueTime;
use super::window::{History, Sum, square};

/// One row: a value per [`Feature`], in the order of the registry.
pub type FeatureVector = [f32; FEATURE_COUNT];

/// Computes the features of one instrument. About 120 kB, and 20 kB more for all features; allocated once.
///
/// The venue's time is made monotonic: an older time than the newest one counts as the newest, a step of more than a
/// minute counts as a minute, and a time that lies more than ten seconds back starts a new axis, so that one absurd
/// time cannot stop the clock. A zero means that the venue gave none.
#[derive(Clone, Debug)]
pub struct FeatureEngine {
    row: FeatureVector,
    updates: u32,
    known_levels: usize,
    scale: Scale,
    /// Greatest common divisor of the prices seen; 0 before the first.
    tick: i64,
    time: VenueTime,
    /// Where on its axis the newest book update lies.
    book_time_ns: u64,
    depths: [Depth; 2],
    /// Which of the two `depths` is the newest.
    newest: usize,
    flow: History<FLOW_COLUMNS, 64>,
    sums: FlowSums,
    mids: History<2, 128>,
    squared_moves_100: Sum,
    mid_average: f64,
    volatility_1s: VarianceRate,
    volatility_30s: VarianceRate,
    tape: TradeTape,
    /// What the features beyond the base need; nothing where nobody asked for one.
    extras: Option<Box<Extras>>,
}

impl Default for FeatureEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureEngine {
    /// An engine of all features that waits for a snapshot.
    pub fn new() -> Self {
        Self::of(FEATURES.map(|def| def.feature))
    }

    /// An engine for one who looks at these features. The values of the base
    /// ([`BASE_FEATURES`](super::registry::BASE_FEATURES)) are there in any case, those of the others where they were asked
    /// for and 0 elsewhere. No value depends on what else was asked for.
    pub fn of(features: impl IntoIterator<Item = Feature>) -> Self {
        let features: Vec<Feature> = features.into_iter().collect();
        let extras = Extras::of(&features);
        let tape = match &extras {
            Some(extras) if extras.looks_at_vwaps() => TradeTape::new().with_vwaps(),
            _ => TradeTape::new(),
        };
        Self {
            row: [0.0; FEATURE_COUNT],
            updates: 0,
            known_levels: 0,
            scale: Scale::default(),
            tick: 0,
            time: VenueTime::default(),
            book_time_ns: 0,
            depths: [Depth::EMPTY; 2],
            newest: 0,
            flow: History::new(),
            sums: FlowSums::default(),
            mids: History::new(),
            squared_moves_100: Sum::default(),
            mid_average: 0.0,
            volatility_1s: VarianceRate::new(1.0),
            volatility_30s: VarianceRate::new(30.0),
            tape,
            extras,
        }
    }

    /// Takes a book update and returns the row, or `None` until [`WARM_UP_UPDATES`] updates have come in one piece. A feature
    /// whose own warm-up is longer is 0 until it is over.
    ///
    /// A snapshot begins anew: what happened between the state before and the snapshot is not known, so that neither a
    /// window of changes nor the trades can be carried across it. A book with an empty side, a crossed one or one with
    /// prices outside `1..2^58` begins anew, too.
    pub fn on_book(&mut self, update: &BookUpdate<'_>) -> Option<&FeatureVector> {
        if update.is_snapshot || update.instrument.scale != self.scale {
            self.reset();
            self.scale = update.instrument.scale;
        }
        self.time.advance(update.exchange_time);
        let dt_ns = self.time.now_ns - self.book_time_ns;
        self.book_time_ns = self.time.now_ns;
        self.tape.expire(self.time.now_ns);

        let previous = self.newest;
        let newest = previous ^ 1;
        let depth = &mut self.depths[newest];
        self.known_levels = depth.read(update);
        if !depth.is_usable() {
            self.reset();
            return None;
        }
        self.newest = newest;
        self.tick = match self.updates {
            0 => self.depths[newest].prices().fold(self.tick, divisor),
            _ => divisor(
                divisor(self.tick, self.depths[newest].bids[0].price.0),
                self.depths[newest].asks[0].price.0,
            ),
        };
        let mid2 = self.depths[newest].mid2();
        if self.updates == 0 {
            self.mids.push([mid2, 0]);
            self.mid_average = mid2 as f64;
            if let Some(extras) = &mut self.extras {
                extras.begin(mid2);
            }
        } else {
            self.difference(previous, newest, mid2, dt_ns);
        }
        self.updates = self.updates.saturating_add(1);
        if self.updates < u32::from(WARM_UP_UPDATES) {
            return None;
        }
        self.fill_row();
        Some(&self.row)
    }

    /// Takes a trade. One without a positive quantity and a price in `1..2^58` is ignored.
    pub fn on_trade(&mut self, trade: &Trade<'_>) {
        self.time.advance(trade.exchange_time);
        let (Price(price), Qty(qty)) = (trade.price, trade.qty);
        if !(1..=PRICE_MAX).contains(&price) || qty <= 0 {
            return;
        }
        let signed_qty = match trade.aggressor {
            Side::Bid => qty,
            Side::Ask => -qty,
        };
        self.tape.push(price, signed_qty, self.time.now_ns);
        if let Some(extras) = &mut self.extras {
            extras.on_trade(signed_qty, &self.tape);
        }
    }

    /// The newest row; `None` as for [`on_book`](Self::on_book).
    pub fn row(&self) -> Option<&FeatureVector> {
        (self.updates >= u32::from(WARM_UP_UPDATES)).then_some(&self.row)
    }

    /// The newest row, where so many updates have come in one piece: for one whose features need more of them than a row does
    /// ([`warm_up_of`](super::registry::warm_up_of)).
    pub fn row_after(&self, warm_up_updates: u16) -> Option<&FeatureVector> {
        self.row().filter(|_| self.updates >= u32::from(warm_up_updates))
    }

    /// Book updates since the last snapshot, that one included.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// Whether the feature has a value in its rows.
    pub fn computes(&self, feature: Feature) -> bool {
        let is_extra = || self.extras.as_ref().is_some_and(|extras| extras.computes(feature));
        (feature as usize) < BASE_FEATURES || is_extra()
    }

    /// How many best levels of both sides were surely known at the newest update, [`REACH_MAX`](super::REACH_MAX) at most: so
    /// far the book had all the levels that the venue has.
    pub fn known_levels(&self) -> usize {
        self.known_levels
    }

    /// Forgets everything but the memory, as before the first snapshot.
    pub fn reset(&mut self) {
        self.updates = 0;
        self.tick = 0;
        self.time = VenueTime::default();
        self.book_time_ns = 0;
        self.flow.clear();
        self.sums = FlowSums::default();
        self.mids.clear();
        self.squared_moves_100 = Sum::default();
        self.volatility_1s.clear();
        self.volatility_30s.clear();
        self.tape.clear();
        self.row = [0.0; FEATURE_COUNT];
        if let Some(extras) = &mut self.extras {
            extras.clear();
        }
    }

    /// What changed from one update to the next.
    fn difference(&mut self, previous: usize, newest: usize, mid2: i64, dt_ns: u64) {
        let flow = self.depths[newest].flow_since(&self.depths[previous]);
        let (back_10, back_50) = (*self.flow.ago(9), *self.flow.ago(49));
        self.sums.slide(&flow, &back_10, &back_50);
        self.flow.push(flow);

        let mid2_before = self.mids.ago(0)[MID2];
        let move2 = mid2 - mid2_before;
        let move2_100_ago = self.mids.ago(99)[MOVE2];
        self.squared_moves_100.0 += square(move2) - square(move2_100_ago);
        self.mids.push([mid2, move2]);

        let dt_s = dt_ns as f64 * 1e-9;
        self.mid_average += (mid2 as f64 - self.mid_average) * (dt_s / (1.0 + dt_s));
        let change = move2 as f64 / mid2_before as f64;
        self.volatility_1s.update(change, dt_s);
        self.volatility_30s.update(change, dt_s);

        if let Some(extras) = &mut self.extras {
            extras.on_update(&Step {
                flow: &flow,
                flow_to_10_w10: FlowAndDepth {
                    flow_enters: flow[FLOW_TO_10],
                    flow_leaves: back_10[FLOW_TO_10],
                    depth_enters: flow[DEPTH_10],
                    depth_leaves: back_10[DEPTH_10],
                },
                mid2,
                move2,
                move2_100_ago,
                change,
                dt_s,
                now_ns: self.time.now_ns,
            });
        }
    }

    fn fill_row(&mut self) {
        let depth = &self.depths[self.newest];
        let totals = depth.totals();
        let mid2 = depth.mid2() as f64;
        let spread = (depth.asks[0].price.0 - depth.bids[0].price.0) as f64;
        let tick = self.tick as f64;
        let queue_imbalance = imbalance(totals.bid_1, totals.ask_1);
        let depth_10 = totals.bid_10 + totals.ask_10;
        let queue_10 = self.sums.depth_5_w10.to_f64() / (2.0 * 5.0 * 10.0);
        let queue_50 = self.sums.depth_5_w50.to_f64() / (2.0 * 5.0 * 50.0);
        let queue_50_of_10 = self.sums.depth_10_w50.to_f64() / (2.0 * 10.0 * 50.0);
        let bps_of_mid = |mid2_then: f64| 1e4 * ((mid2 - mid2_then) / mid2_then);

        let mut set = |feature: Feature, value: f64| self.row[feature as usize] = finite(value);
        set(Feature::SpreadTicks, spread / tick);
        set(Feature::SpreadBps, 2e4 * spread / mid2);
        set(Feature::MicropriceTicks, 0.5 * queue_imbalance * (spread / tick));
        set(Feature::QueueImbalance, queue_imbalance);
        set(Feature::Imbalance3, imbalance(totals.bid_3, totals.ask_3));
        set(Feature::Imbalance5, imbalance(totals.bid_5, totals.ask_5));
        set(Feature::Imbalance10, imbalance(totals.bid_10, totals.ask_10));
        set(Feature::ImbalanceExp10, imbalance(totals.bid_exp, totals.ask_exp));
        set(Feature::GapImbalance, depth.gap_imbalance());
        set(
            Feature::DistanceImbalance10,
            imbalance(totals.ask_distance / totals.ask_10, totals.bid_distance / totals.bid_10),
        );
        set(Feature::TouchShare10, (totals.bid_1 + totals.ask_1) / depth_10);
        set(
            Feature::DepthChange50,
            imbalance(depth_10, self.sums.depth_10_w50.to_f64() / 50.0),
        );

        set(Feature::Ofi1Last, self.flow.ago(0)[0] as f64 / queue_10);
        for (level, feature) in OFI_10.into_iter().enumerate() {
            set(feature, self.sums.levels_w10[level].to_f64() / queue_10);
        }
        set(Feature::Ofi1W50, self.sums.level_1_w50.to_f64() / queue_50);
        set(Feature::OfiTo5W50, self.sums.to_5_w50.to_f64() / queue_50);
        set(Feature::OfiTo10W50, self.sums.to_10_w50.to_f64() / queue_50_of_10);

        set(Feature::TradeImbalance20, self.tape.last_20().imbalance());
        set(Feature::TradeImbalance100, self.tape.last_100().imbalance());
        set(Feature::TradeImbalance1s, self.tape.last_1s().imbalance());
        set(Feature::TradeImbalance10s, self.tape.last_10s().imbalance());
        set(
            Feature::Vwap20Bps,
            self.tape
                .vwap_20()
                .map_or(0.0, |vwap| 1e4 * ((2.0 * vwap - mid2) / mid2)),
        );

        set(Feature::Return10Bps, bps_of_mid(self.mids.ago(10)[MID2] as f64));
        set(Feature::Return50Bps, bps_of_mid(self.mids.ago(50)[MID2] as f64));
        set(Feature::Return1sBps, bps_of_mid(self.mid_average));
        set(Feature::Volatility1sBps, 1e4 * self.volatility_1s.value().sqrt());
        set(Feature::Volatility30sBps, 1e4 * self.volatility_30s.value().sqrt());
        set(
            Feature::Volatility100Bps,
            1e4 * self.squared_moves_100.to_f64().sqrt() / mid2,
        );

        if let Some(extras) = &self.extras {
            let sight = Sight {
                depth,
                tape: &self.tape,
                tick: self.tick,
                updates: self.updates,
                squared_moves_100: self.squared_moves_100,
            };
            extras.fill(&sight, set);
        }
    }
}

/// Sums over the rows of flow.
#[derive(Clone, Copy, Debug, Default)]
struct FlowSums {
    levels_w10: [Sum; 5],
    level_1_w50: Sum,
    to_5_w50: Sum,
    to_10_w50: Sum,
    depth_5_w10: Sum,
    depth_5_w50: Sum,
    depth_10_w50: Sum,
}

impl FlowSums {
    fn slide(
        &mut self,
        enters: &[i64; FLOW_COLUMNS],
        leaves_10: &[i64; FLOW_COLUMNS],
        leaves_50: &[i64; FLOW_COLUMNS],
    ) {
        for (level, sum) in self.levels_w10.iter_mut().enumerate() {
            sum.slide(enters[level], leaves_10[level]);
        }
        self.level_1_w50.slide(enters[0], leaves_50[0]);
        self.to_5_w50.slide(enters[FLOW_TO_5], leaves_50[FLOW_TO_5]);
        self.to_10_w50.slide(enters[FLOW_TO_10], leaves_50[FLOW_TO_10]);
        self.depth_5_w10.slide(enters[DEPTH_5], leaves_10[DEPTH_5]);
        self.depth_5_w50.slide(enters[DEPTH_5], leaves_50[DEPTH_5]);
        self.depth_10_w50.slide(enters[DEPTH_10], leaves_50[DEPTH_10]);
    }
}

/// The greatest common divisor of a positive step, or 0 for none yet, and a price. One division where the price lies on
/// the step, which is almost always.
fn divisor(step: i64, price: i64) -> i64 {
    let (mut a, mut b) = (price, step);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// As `f32`, within ±10^9 and never NaN: a quotient by nothing says nothing.
fn finite(value: f64) -> f32 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(-VALUE_MAX, VALUE_MAX) as f32
    }
}

const VALUE_MAX: f64 = 1e9;

/// Columns of a row of mid prices: twice the mid price, and its change.
const MID2: usize = 0;
const MOVE2: usize = 1;

const OFI_10: [Feature; 5] = [
    Feature::Ofi1W10,
    Feature::Ofi2W10,
    Feature::Ofi3W10,
    Feature::Ofi4W10,
    Feature::Ofi5W10,
];
