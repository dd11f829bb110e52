//! The slow engine's features behind the base, each from the whole history by its definition.

use quantumflow::features::{FEATURE_COUNT, Feature};

use super::{Levels, Reference, imbalance, total};

impl Reference {
    pub(super) fn extras(&self, row: &mut [f64; FEATURE_COUNT]) {
        let mut set = |feature: Feature, value: f64| row[feature as usize] = value;
        let (_, bids, asks) = self.books.last().unwrap();
        let last = self.books.len() - 1;
        let mid = self.mid2(last) as f64 / 2.0;

        let tick = self.tick();
        let near = |side: &Levels| -> f64 {
            let inside = side
                .iter()
                .take(10)
                .filter(|level| (level.0 - side[0].0).abs() < 10 * tick);
            inside.map(|level| level.1 as f64).sum()
        };
        set(Feature::Imbalance10Ticks, imbalance(near(bids), near(asks)));
        set(
            Feature::NearShare10Ticks,
            (near(bids) + near(asks)) / self.depth(last, 10) as f64,
        );
        let (bid_slope, ask_slope) = (slope(bids, mid), slope(asks, mid));
        set(Feature::Slope10, (bid_slope + ask_slope) / 2.0);
        set(Feature::SlopeImbalance10, imbalance(bid_slope, ask_slope));

        set(
            Feature::OfiTo10W10,
            self.window_flow(10, 1..=10) / self.mean_queue(10, 10),
        );
        for (span_ns, of_1, of_10) in [
            (1_000_000_000, Feature::Ofi1T1s, Feature::OfiTo10T1s),
            (5_000_000_000, Feature::Ofi1T5s, Feature::OfiTo10T5s),
        ] {
            let window = self.updates_within(span_ns);
            set(of_1, self.window_flow(window, 1..=1) / self.mean_queue(5, window));
            set(of_10, self.window_flow(window, 1..=10) / self.mean_queue(10, window));
        }

        for (feature, span_ns) in [
            (Feature::Vwap10sBps, 10_000_000_000),
            (Feature::Vwap60sBps, 60_000_000_000),
        ] {
            // A busy minute has more trades than the engine keeps.
            let kept = &self.trades[self.trades.len().saturating_sub(4_096)..];
            let inside = kept.iter().filter(|trade| self.now_ns - trade.0 < span_ns);
            let (mut notional, mut volume) = (0.0, 0.0);
            for &(_, price, qty) in inside {
                notional += price as f64 * qty.abs() as f64;
                volume += qty.abs() as f64;
            }
            set(
                feature,
                if volume == 0.0 {
                    0.0
                } else {
                    1e4 * (notional / volume - mid) / mid
                },
            );
        }
        set(Feature::Vpin50, self.vpin(50));

        set(Feature::Return10sBps, 1e4 * (2.0 * mid / self.mid_average(10.0) - 1.0));
        set(Feature::Return60sBps, 1e4 * (2.0 * mid / self.mid_average(60.0) - 1.0));
        set(Feature::VolatilityEwmBps, 1e4 * self.update_variance().sqrt());
        let moves = |count: usize| (last + 1 - count..=last).map(|at| (self.mid2(at) - self.mid2(at - 1)) as f64);
        let squares: f64 = moves(self.updates_within(5_000_000_000)).map(|x| x * x).sum();
        set(Feature::Volatility5sSumBps, 1e4 * squares.sqrt() / (2.0 * mid));
        let up: f64 = moves(100).filter(|&x| x > 0.0).map(|x| x * x).sum();
        let down: f64 = moves(100).filter(|&x| x < 0.0).map(|x| x * x).sum();
        set(Feature::SemivarianceImbalance100, imbalance(up, down));

        self.indicators(mid, set);
    }

    fn indicators(&self, mid: f64, mut set: impl FnMut(Feature, f64)) {
        let closes: Vec<f64> = (9..self.books.len())
            .step_by(10)
            .map(|at| self.mid2(at) as f64 / 2.0)
            .collect();
        let (ema_12, ema_26) = (ema(&closes, 12), ema(&closes, 26));
        let last = |values: &[f64]| values.last().copied().unwrap_or(1.0);
        set(Feature::Ema12Bps, 1e4 * (mid / last(&ema_12) - 1.0));
        set(Feature::Ema26Bps, 1e4 * (mid / last(&ema_26) - 1.0));
        // TA-Lib begins the fast average so that both begin with the same bar.
        let fast = ema(closes.get(14..).unwrap_or_default(), 12);
        let line: Vec<f64> = fast.iter().zip(&ema_26).map(|(fast, slow)| fast - slow).collect();
        let signal = ema(&line, 9);
        if let (Some(line), Some(signal)) = (line.last(), signal.last()) {
            set(Feature::MacdBps, 1e4 * line / mid);
            set(Feature::MacdSignalBps, 1e4 * signal / mid);
            set(Feature::MacdHistogramBps, 1e4 * (line - signal) / mid);
        }
        let moves: Vec<f64> = closes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if moves.len() >= 14 {
            let wilder = |side: fn(f64) -> f64| {
                let first = moves[..14].iter().map(|&x| side(x)).sum::<f64>() / 14.0;
                moves[14..]
                    .iter()
                    .fold(first, |average, &x| (13.0 * average + side(x)) / 14.0)
            };
            let (gain, loss) = (wilder(|x| x.max(0.0)), wilder(|x| (-x).max(0.0)));
            set(Feature::Rsi14, imbalance(gain, loss));
        }
        if closes.len() >= 20 {
            let newest = &closes[closes.len() - 20..];
            let mean = newest.iter().sum::<f64>() / 20.0;
            let deviation = (newest.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20.0).sqrt();
            set(
                Feature::Bollinger20,
                if deviation == 0.0 {
                    0.0
                } else {
                    (mid - mean) / deviation
                },
            );
            set(Feature::BollingerWidth20Bps, 1e4 * 4.0 * deviation / mean);
        }
        if moves.len() >= 30 {
            let newest = &moves[moves.len() - 30..];
            let squares: f64 = newest.iter().map(|x| x * x).sum();
            let products: f64 = newest.windows(2).map(|pair| (pair[0] * pair[1]).abs()).sum();
            let bipower = std::f64::consts::FRAC_PI_2 * 30.0 / 29.0 * products;
            set(Feature::BarVolatility30Bps, 1e4 * squares.sqrt() / mid);
            set(
                Feature::JumpShare30,
                if squares == 0.0 {
                    0.0
                } else {
                    (1.0 - bipower / squares).max(0.0)
                },
            );
        }
    }

    /// How many of the newest updates lie within a span of time; 256 at most, and the first changes nothing.
    fn updates_within(&self, span_ns: u64) -> usize {
        let later = &self.books[1..];
        let inside = later.iter().filter(|book| self.books[later.len()].0 - book.0 < span_ns);
        inside.count().min(256)
    }

    /// The weighted mean of squared returns, each weight written out.
    fn update_variance(&self) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for at in 1..self.books.len() {
            let weight = 0.03 * 0.97_f64.powi((self.books.len() - 1 - at) as i32);
            let change = self.mid2(at) as f64 / self.mid2(at - 1) as f64 - 1.0;
            sum += weight * change * change;
            weights += weight;
        }
        sum / weights
    }

    /// Trades laid into buckets one after the other, as much of each as there is room for.
    fn vpin(&self, buckets: usize) -> f64 {
        let mut closed: Vec<(i64, i64)> = Vec::new();
        let (mut signed, mut filled, mut volume) = (0, 0, 0);
        for (index, trade) in self.trades.iter().enumerate() {
            let newest = &self.trades[(index + 1).saturating_sub(100)..=index];
            let total: i64 = newest.iter().map(|trade| trade.2.abs()).sum();
            let next_volume = (10 * total / newest.len() as i64).max(1);
            if volume == 0 {
                volume = next_volume;
            }
            let mut rest = trade.2.abs();
            while rest > 0 {
                let part = rest.min(volume - filled);
                (signed, filled, rest) = (signed + trade.2.signum() * part, filled + part, rest - part);
                if filled == volume {
                    closed.push((i64::abs(signed), volume));
                    (signed, filled, volume) = (0, 0, next_volume);
                }
            }
        }
        let newest = &closed[closed.len().saturating_sub(buckets)..];
        let imbalances: i64 = newest.iter().map(|bucket| bucket.0).sum();
        let volumes: i64 = newest.iter().map(|bucket| bucket.1).sum();
        if volumes == 0 {
            0.0
        } else {
            imbalances as f64 / volumes as f64
        }
    }
}

/// Naes and Skjeltorp's, with the library's logarithm.
fn slope(side: &Levels, mid: f64) -> f64 {
    let levels = side.len().min(10);
    let log = |count: usize| (total(side, count) as f64).ln();
    let mut sum = log(1) / (side[0].0 as f64 / mid - 1.0).abs();
    for i in 1..levels {
        if total(side, i) > 1 {
            sum += (log(i + 1) / log(i) - 1.0) / (side[i].0 as f64 / side[i - 1].0 as f64 - 1.0).abs();
        }
    }
    sum / levels as f64
}

/// Exponential averages from the first that there is, which is the plain mean of the first values.
fn ema(values: &[f64], period: usize) -> Vec<f64> {
    if values.len() < period {
        return Vec::new();
    }
    let mut averages = vec![values[..period].iter().sum::<f64>() / period as f64];
    let share = 2.0 / (period as f64 + 1.0);
    for value in &values[period..] {
        averages.push((1.0 - share) * averages[averages.len() - 1] + share * value);
    }
    averages
}
