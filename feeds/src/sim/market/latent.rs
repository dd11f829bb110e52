//! What no subscriber sees: where the price wants to go, and how excited the traders are.

use super::dice::Dice;

/// The hidden fair value of an instrument, in ticks.
#[derive(Clone, Debug)]
pub(super) struct FairValue {
    value: f64,
    /// Where a reverting regime pulls to.
    anchor: f64,
    /// Where the whole walk started: a weak pull keeps a run of weeks away from zero.
    home: f64,
    /// Ticks per event.
    momentum: f64,
    regime: Regime,
    gap: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Regime {
    /// The momentum is pulled to this many gaps per event.
    Trending(f64),
    /// The value is pulled back to the anchor.
    Reverting,
}

impl FairValue {
    pub(super) fn new(start_tick: f64, gap: f64) -> Self {
        Self {
            value: start_tick,
            anchor: start_tick,
            home: start_tick,
            momentum: 0.0,
            regime: Regime::Reverting,
            gap,
        }
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    /// One event passes; a shock moves the value at once.
    pub(super) fn advance(&mut self, dice: &mut Dice, is_shock: bool) {
        if dice.chance(REGIME_CHANGE_CHANCE) {
            self.anchor = self.value;
            self.regime = match dice.below(4) {
                0 => Regime::Trending(TREND_GAPS),
                1 => Regime::Trending(-TREND_GAPS),
                _ => Regime::Reverting,
            };
        }
        let target = match self.regime {
            Regime::Trending(gaps) => gaps * self.gap,
            Regime::Reverting => (self.anchor - self.value) * REVERSION,
        };
        self.momentum += (target - self.momentum) * MOMENTUM_RATE + MOMENTUM_NOISE_GAPS * self.gap * dice.normal();
        self.value += self.momentum + VALUE_NOISE_GAPS * self.gap * dice.normal() + (self.home - self.value) * HOMING;
        if is_shock {
            let gaps = 2.0 + 4.0 * dice.exponential();
            self.value += if dice.chance(0.5) { gaps } else { -gaps } * self.gap;
        }
        // Never below a tenth of where it began: a price of zero is not a market.
        self.value = self.value.max(self.home * 0.1);
    }
}

/// When events come: a base rate, excited by trades, decaying (Hawkes with an exponential kernel).
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    base_per_second: f64,
    /// In multiples of the base rate.
    excitement: f64,
}

impl Arrivals {
    pub(super) fn new(base_per_second: f64) -> Self {
        Self {
            base_per_second,
            excitement: 0.0,
        }
    }

    /// Seconds to the next event, by thinning: between events the rate only falls, so its value now is a bound.
    pub(super) fn wait_seconds(&mut self, dice: &mut Dice) -> f64 {
        let mut waited = 0.0;
        loop {
            let bound = 1.0 + self.excitement;
            let wait = dice.exponential() / (bound * self.base_per_second);
            waited += wait;
            self.excitement *= (-wait * DECAY_PER_SECOND).exp();
            if dice.chance((1.0 + self.excitement) / bound) {
                return waited;
            }
        }
    }

    /// Trades call for more events.
    pub(super) fn excite(&mut self, trade_count: usize) {
        // Half of the events that a trade calls for come within 60 ms. The jump is relative to the base rate, so the
        // branching ratio is the same for slow and fast instruments.
        let jump = TRADE_CHILDREN * DECAY_PER_SECOND / self.base_per_second;
        self.excitement = (self.excitement + jump * trade_count.min(4) as f64).min(EXCITEMENT_MAX);
    }

    /// Now and then something happens out there.
    pub(super) fn shock(&mut self, dice: &mut Dice) -> bool {
        let is_shock = dice.chance(SHOCK_CHANCE);
        if is_shock {
            self.excitement = (self.excitement + SHOCK_EXCITEMENT).min(EXCITEMENT_MAX);
        }
        is_shock
    }

    /// Excited traders take more.
    pub(super) fn trade_boost(&self) -> f64 {
        (1.0 + 0.5 * self.excitement).min(2.0)
    }
}

/// A regime lasts some 1,500 events.
const REGIME_CHANGE_CHANCE: f64 = 1.0 / 1_500.0;
/// The speed of a trend, in gaps per event.
const TREND_GAPS: f64 = 0.015;
/// The share of the distance to the anchor that a reverting regime wants to cover per event.
const REVERSION: f64 = 0.004;
/// Momentum forgets half of itself in some 30 events.
const MOMENTUM_RATE: f64 = 0.022;
const MOMENTUM_NOISE_GAPS: f64 = 0.005;
const VALUE_NOISE_GAPS: f64 = 0.06;
const HOMING: f64 = 1e-6;
/// Excitement falls by half in 58 ms.
const DECAY_PER_SECOND: f64 = 12.0;
/// How many further events one trade calls for, on average.
const TRADE_CHILDREN: f64 = 1.6;
const EXCITEMENT_MAX: f64 = 60.0;
/// One event in 8,000 is a shock: about one a minute on a busy pair.
const SHOCK_CHANCE: f64 = 1.0 / 8_000.0;
const SHOCK_EXCITEMENT: f64 = 25.0;
