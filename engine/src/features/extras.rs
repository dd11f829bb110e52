//! The features that not every model looks at: computed where one does, and nowhere else.
//!
//! The first [`BASE_FEATURES`] of a row share one pass over the book and are always there. What came later stands in
//! groups here, each with a state of its own that exists only if somebody asked for one of its features when the engine
//! was made. So an engine for a model that looks at none of them pays one branch for all of them, and a value never
//! depends on what else was asked for.

use super::average::{MidAverage, UpdateVariance};
use super::bars::Bars;
use super::depth::{Depth, FLOW_COLUMNS, imbalance};
use super::recent::Recent;
use super::registry::{BASE_FEATURES, FEATURE_COUNT, FEATURES, Feature};
use super::shape;
use super::tape::TradeTape;
use super::vpin::{self, Vpin};
use super::window::{Sum, square};

/// What one book update changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) flow: &'a [i64; FLOW_COLUMNS],
    /// Order flow of the best 10 levels over 10 updates, and their depths over the same, summed.
    pub(super) flow_to_10_w10: FlowAndDepth,
    /// Twice the mid price, its move, and the one that was made 100 updates ago.
    pub(super) mid2: i64,
    pub(super) move2: i64,
    pub(super) move2_100_ago: i64,
    /// The move over the mid price of before.
    pub(super) change: f64,
    pub(super) dt_s: f64,
    pub(super) now_ns: u64,
}

/// What enters a window of 10 updates and what leaves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowAndDepth {
    pub(super) flow_enters: i64,
    pub(super) flow_leaves: i64,
    pub(super) depth_enters: i64,
    pub(super) depth_leaves: i64,
}

/// What a row is filled from besides the groups' own state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) depth: &'a Depth,
    pub(super) tape: &'a TradeTape,
    pub(super) tick: i64,
    pub(super) updates: u32,
    pub(super) squared_moves_100: Sum,
}

/// The groups that were asked for.
#[derive(Clone, Debug)]
pub(super) struct Extras {
    /// From which update on a feature is written; never where nobody asked for it.
    from_update: [u32; FEATURE_COUNT],
    near: bool,
    slopes: bool,
    vwap: bool,
    paths: Option<Paths>,
    recent: Option<Recent>,
    vpin: Option<Vpin>,
    bars: Option<Bars>,
}

/// Sums and averages along the updates.
#[derive(Clone, Debug)]
struct Paths {
    flow_to_10_w10: Sum,
    depth_10_w10: Sum,
    /// Squared moves over 100 updates, with the signs of the moves.
    signed_squares_100: Sum,
    mid_10s: MidAverage,
    mid_60s: MidAverage,
    variance: UpdateVariance,
}

impl Extras {
    /// `None` where no feature is one of these.
    pub(super) fn of(features: &[Feature]) -> Option<Box<Self>> {
        let mut from_update = [NEVER; FEATURE_COUNT];
        for feature in features.iter().filter(|&&feature| feature as usize >= BASE_FEATURES) {
            from_update[*feature as usize] = u32::from(feature.def().warm_up_updates);
        }
        if from_update.iter().all(|&from| from == NEVER) {
            return None;
        }
        let any = |group: &[Feature]| group.iter().any(|&feature| from_update[feature as usize] != NEVER);
        Some(Box::new(Self {
            near: any(&NEAR),
            slopes: any(&SLOPES),
            vwap: any(&VWAPS),
            paths: any(&PATHS).then(Paths::new),
            recent: any(&RECENT).then(Recent::new),
            vpin: any(&[Feature::Vpin50]).then(|| Vpin::new(vpin::BUCKETS)),
            bars: any(&BARS).then(Bars::new),
            from_update,
        }))
    }

    pub(super) fn computes(&self, feature: Feature) -> bool {
        self.from_update[feature as usize] != NEVER
    }

    /// Whether the tape is to keep its windows of prices.
    pub(super) fn looks_at_vwaps(&self) -> bool {
        self.vwap
    }

    pub(super) fn clear(&mut self) {
        self.paths.iter_mut().for_each(Paths::clear);
        self.recent.iter_mut().for_each(Recent::clear);
        self.vpin.iter_mut().for_each(Vpin::clear);
        self.bars.iter_mut().for_each(Bars::clear);
    }

    /// The first update of a piece: there is a mid price, and nothing to compare it with.
    pub(super) fn begin(&mut self, mid2: i64) {
        if let Some(paths) = &mut self.paths {
            paths.mid_10s.begin(mid2);
            paths.mid_60s.begin(mid2);
        }
        if let Some(bars) = &mut self.bars {
            bars.push(mid2);
        }
    }

    /// Takes what an update changed. Out of line for the same reason as [`on_trade`](Self::on_trade).
    #[inline(never)]
    pub(super) fn on_update(&mut self, step: &Step<'_>) {
        if let Some(paths) = &mut self.paths {
            paths.push(step);
        }
        if let Some(recent) = &mut self.recent {
            recent.push(step.flow, step.move2, step.now_ns);
        }
        if let Some(bars) = &mut self.bars {
            bars.push(step.mid2);
        }
    }

    /// Takes a trade that is on the tape already. Out of line, so that an engine without extras does not carry it along.
    #[inline(never)]
    pub(super) fn on_trade(&mut self, signed_qty: i64, tape: &TradeTape) {
        if let Some(vpin) = &mut self.vpin {
            let last_100 = tape.last_100();
            vpin.push(
                signed_qty,
                vpin::bucket_volume(last_100.total(), tape.count_of(last_100)),
            );
        }
    }

    /// Hands over the values of the features that were asked for and are warm.
    pub(super) fn fill(&self, sight: &Sight<'_>, mut set: impl FnMut(Feature, f64)) {
        let mut set = |feature: Feature, value: f64| {
            if sight.updates >= self.from_update[feature as usize] {
                set(feature, value);
            }
        };
        let mid2 = sight.depth.mid2() as f64;
        let bps_of_mid = |price2: f64| 1e4 * ((price2 - mid2) / mid2);

        if self.near {
            let near = shape::near(sight.depth, sight.tick);
            set(Feature::Imbalance10Ticks, imbalance(near.bid, near.ask));
            let totals = sight.depth.totals();
            set(
                Feature::NearShare10Ticks,
                (near.bid + near.ask) / (totals.bid_10 + totals.ask_10),
            );
        }
        if self.slopes {
            let slopes = shape::slopes(sight.depth);
            set(Feature::Slope10, 0.5 * (slopes.bid + slopes.ask));
            set(Feature::SlopeImbalance10, imbalance(slopes.bid, slopes.ask));
        }
        if self.vwap {
            let [last_10s, last_60s] = sight.tape.vwaps();
            set(Feature::Vwap10sBps, last_10s.map_or(0.0, |vwap| bps_of_mid(2.0 * vwap)));
            set(Feature::Vwap60sBps, last_60s.map_or(0.0, |vwap| bps_of_mid(2.0 * vwap)));
        }
        if let Some(paths) = &self.paths {
            let queue = paths.depth_10_w10.to_f64() / (2.0 * 10.0 * 10.0);
            set(Feature::OfiTo10W10, paths.flow_to_10_w10.to_f64() / queue);
            set(Feature::Return10sBps, paths.mid_10s.return_bps(mid2));
            set(Feature::Return60sBps, paths.mid_60s.return_bps(mid2));
            set(Feature::VolatilityEwmBps, 1e4 * paths.variance.value().sqrt());
            let squares = sight.squared_moves_100.to_f64();
            set(
                Feature::SemivarianceImbalance100,
                paths.signed_squares_100.to_f64() / squares,
            );
        }
        if let Some(recent) = &self.recent {
            let (last_1s, last_5s) = (recent.last_1s(), recent.last_5s());
            set(Feature::Ofi1T1s, last_1s.flow_1());
            set(Feature::OfiTo10T1s, last_1s.flow_to_10());
            set(Feature::Ofi1T5s, last_5s.flow_1());
            set(Feature::OfiTo10T5s, last_5s.flow_to_10());
            set(Feature::Volatility5sSumBps, 1e4 * last_5s.squared_moves().sqrt() / mid2);
        }
        if let Some(vpin) = &self.vpin {
            set(Feature::Vpin50, vpin.value());
        }
        if let Some(bars) = &self.bars {
            let values = bars.values();
            set(Feature::Ema12Bps, 1e4 * ((mid2 - values.ema_12) / values.ema_12));
            set(Feature::Ema26Bps, 1e4 * ((mid2 - values.ema_26) / values.ema_26));
            set(Feature::MacdBps, 1e4 * values.macd.line / mid2);
            set(Feature::MacdSignalBps, 1e4 * values.macd.signal / mid2);
            set(
                Feature::MacdHistogramBps,
                1e4 * (values.macd.line - values.macd.signal) / mid2,
            );
            set(Feature::Rsi14, values.rsi);
            let deviations = (mid2 - values.band_middle) / values.band_deviation;
            let has_bands = values.band_deviation > 0.0;
            set(Feature::Bollinger20, if has_bands { deviations } else { 0.0 });
            set(
                Feature::BollingerWidth20Bps,
                4e4 * values.band_deviation / values.band_middle,
            );
            set(Feature::BarVolatility30Bps, 1e4 * values.squared_moves.sqrt() / mid2);
            set(
                Feature::JumpShare30,
                (1.0 - values.bipower / values.squared_moves).max(0.0),
            );
        }
    }
}

impl Paths {
    fn new() -> Self {
        Self {
            flow_to_10_w10: Sum::default(),
            depth_10_w10: Sum::default(),
            signed_squares_100: Sum::default(),
            mid_10s: MidAverage::new(10.0),
            mid_60s: MidAverage::new(60.0),
            variance: UpdateVariance::default(),
        }
    }

    fn clear(&mut self) {
        *self = Self::new();
    }

    fn push(&mut self, step: &Step<'_>) {
        let window = &step.flow_to_10_w10;
        self.flow_to_10_w10.slide(window.flow_enters, window.flow_leaves);
        self.depth_10_w10.slide(window.depth_enters, window.depth_leaves);
        self.signed_squares_100.0 += signed_square(step.move2) - signed_square(step.move2_100_ago);
        self.mid_10s.update(step.mid2, step.dt_s);
        self.mid_60s.update(step.mid2, step.dt_s);
        self.variance.update(step.change);
    }
}

fn signed_square(x: i64) -> i128 {
    square(x) * i128::from(x.signum())
}

const NEVER: u32 = u32::MAX;

const NEAR: [Feature; 2] = [Feature::Imbalance10Ticks, Feature::NearShare10Ticks];
const SLOPES: [Feature; 2] = [Feature::Slope10, Feature::SlopeImbalance10];
const VWAPS: [Feature; 2] = [Feature::Vwap10sBps, Feature::Vwap60sBps];
const PATHS: [Feature; 5] = [
    Feature::OfiTo10W10,
    Feature::Return10sBps,
    Feature::Return60sBps,
    Feature::VolatilityEwmBps,
    Feature::SemivarianceImbalance100,
];
const RECENT: [Feature; 5] = [
    Feature::Ofi1T1s,
    Feature::OfiTo10T1s,
    Feature::Ofi1T5s,
    Feature::OfiTo10T5s,
    Feature::Volatility5sSumBps,
];
const BARS: [Feature; 10] = [
    Feature::Ema12Bps,
    Feature::Ema26Bps,
    Feature::MacdBps,
    Feature::MacdSignalBps,
    Feature::MacdHistogramBps,
    Feature::Rsi14,
    Feature::Bollinger20,
    Feature::BollingerWidth20Bps,
    Feature::BarVolatility30Bps,
    Feature::JumpShare30,
];

/// Every feature behind the base is of one group.
const _: () = assert!(
    NEAR.len() + SLOPES.len() + VWAPS.len() + PATHS.len() + RECENT.len() + BARS.len() + 1
        == FEATURES.len() - BASE_FEATURES
);
