//! Arrivals that call for more arrivals: a Hawkes process with an exponential kernel.
//!
//! The intensity at `t`, in arrivals per second, is
//!
//! ```text
//! lambda(t) = mu + sum over earlier arrivals t_i of  n * beta * exp(-beta * (t - t_i))
//! ```
//!
//! (A. G. Hawkes, "Spectra of some self-exciting and mutually exciting point processes", Biometrika 58, 1971). Each
//! arrival calls for `n` more on average, so `n < 1`, and the mean rate is `mu / (1 - n)`. Counts in windows that are
//! long beside `1 / (beta * (1 - n))` scatter with variance over mean `1 / (1 - n)^2`; a Poisson process has 1.
//!
//! The sum decays as a whole, so one number `excess` holds all of the past. The next arrival comes from whichever is
//! first of two independent clocks, each of which one uniform draw sets exactly, without rejection (A. Dassios and
//! H. Zhao, "Exact simulation of Hawkes process with exponentially decaying intensity", Electronic Communications in
//! Probability 18, 2013, algorithm 3.1): `mu` rings after an exponential time; the decaying `excess` rings before `s`
//! with probability `1 - exp(-excess * (1 - exp(-beta * s)) / beta)`, and so with some probability never.

use crate::sim::market::Dice;

/// A self-exciting load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HawkesConfig {
    /// `mu`: messages per second that nothing called for.
    pub base_rate: f64,
    /// `n`: how many further messages one calls for, on average; below one. The mean rate is `base_rate / (1 - n)`.
    pub branching_ratio: f64,
    /// `beta`: how fast a message is forgotten; its echo falls by half in `0.69 / beta` seconds.
    pub decay_per_second: f64,
    /// The same seed gives the same arrivals.
    pub seed: u64,
}

impl HawkesConfig {
    /// Messages per second in the long run.
    pub fn mean_rate(&self) -> f64 {
        self.base_rate / (1.0 - self.branching_ratio)
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        let is_positive = |number: f64| number > 0.0 && number.is_finite();
        if !is_positive(self.base_rate) || !is_positive(self.decay_per_second) {
            return Some("a self-exciting load needs a base rate and a decay above zero");
        }
        (!(0.0..1.0).contains(&self.branching_ratio))
            .then_some("the branching ratio of a self-exciting load must be from 0 to below 1: at 1 it explodes")
    }
}

/// The process on its way.
#[derive(Debug)]
pub(super) struct Hawkes {
    config: HawkesConfig,
    dice: Dice,
    /// The intensity above the base, right after the last arrival.
    excess: f64,
}

impl Hawkes {
    pub(super) fn new(config: HawkesConfig) -> Self {
        Self {
            dice: Dice::new(config.seed, DICE_STREAM),
            config,
            excess: 0.0,
        }
    }

    /// From the last arrival to the next.
    pub(super) fn wait_seconds(&mut self) -> f64 {
        let beta = self.config.decay_per_second;
        let by_base = self.dice.exponential() / self.config.base_rate;
        // exp(-excess * (1 - exp(-beta * s)) / beta) = u, solved for s; where there is no solution it never rings.
        let left = 1.0 - beta * self.dice.exponential() / self.excess;
        let by_echo = if left > 0.0 { -left.ln() / beta } else { f64::INFINITY };
        let wait = by_base.min(by_echo);
        self.excess = self.excess * (-beta * wait).exp() + self.config.branching_ratio * beta;
        wait
    }
}

/// Apart from the draws of any instrument, and from those of faults.
const DICE_STREAM: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrivals in each of `windows` windows of `seconds`, after a minute to settle.
    fn counts(config: HawkesConfig, windows: usize, seconds: f64) -> Vec<f64> {
        let mut process = Hawkes::new(config);
        let mut counts = vec![0.0; windows];
        let mut time = -60.0;
        loop {
            time += process.wait_seconds();
            if time >= 0.0 {
                let Some(count) = counts.get_mut((time / seconds) as usize) else {
                    return counts;
                };
                *count += 1.0;
            }
        }
    }

    /// Mean and variance over mean.
    fn mean_and_dispersion(counts: &[f64]) -> (f64, f64) {
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64;
        (mean, variance / mean)
    }

    #[test]
    fn rate_and_clustering_are_those_of_the_theory() {
        for (branching_ratio, seed) in [(0.0, 1), (0.5, 2), (0.8, 3), (0.8, 4)] {
            let config = HawkesConfig {
                base_rate: 20.0,
                branching_ratio,
                decay_per_second: 50.0,
                seed,
            };
            assert_eq!(config.problem(), None);
            let (mean, dispersion) = mean_and_dispersion(&counts(config, 4_000, 2.0));
            let rate = 20.0 / (1.0 - branching_ratio);
            assert!((config.mean_rate() - rate).abs() < 1e-9);
            // Over 8,000 s the rate scatters by less than one per cent, the dispersion by about two and a half.
            assert!(
                (mean / 2.0 / rate - 1.0).abs() < 0.04,
                "n {branching_ratio}: rate {}",
                mean / 2.0
            );
            let expected = 1.0 / (1.0 - branching_ratio).powi(2);
            assert!(
                (dispersion / expected - 1.0).abs() < 0.15,
                "n {branching_ratio}: dispersion {dispersion}, not {expected}"
            );
        }
    }

    #[test]
    fn the_waits_fit_the_intensity() {
        // The intensity summed over a wait is an exponential of mean one (time change): computed here from the whole
        // past, not from the recursion.
        let config = HawkesConfig {
            base_rate: 5.0,
            branching_ratio: 0.9,
            decay_per_second: 30.0,
            seed: 9,
        };
        let mut process = Hawkes::new(config);
        let (mut times, mut sums) = (Vec::<f64>::new(), Vec::new());
        for _ in 0..3_000 {
            let from = times.last().copied().unwrap_or(0.0);
            let to = from + process.wait_seconds();
            let echo = |time: f64| (-config.decay_per_second * time).exp();
            let echoes: f64 = times.iter().map(|time| echo(from - time) - echo(to - time)).sum();
            sums.push(config.base_rate * (to - from) + config.branching_ratio * echoes);
            times.push(to);
        }
        let (mean, dispersion) = mean_and_dispersion(&sums);
        assert!(
            (mean - 1.0).abs() < 0.08 && (dispersion - 1.0).abs() < 0.15,
            "{mean} {dispersion}"
        );
        let above_one = sums.iter().filter(|sum| **sum > 1.0).count() as f64 / sums.len() as f64;
        assert!((above_one - (-1f64).exp()).abs() < 0.04, "{above_one}");
    }

    #[test]
    fn an_explosion_is_refused() {
        let sound = HawkesConfig {
            base_rate: 1.0,
            branching_ratio: 0.5,
            decay_per_second: 1.0,
            seed: 1,
        };
        for branching_ratio in [1.0, -0.1, f64::NAN] {
            assert!(
                HawkesConfig {
                    branching_ratio,
                    ..sound
                }
                .problem()
                .is_some()
            );
        }
        assert!(
            HawkesConfig {
                base_rate: 0.0,
                ..sound
            }
            .problem()
            .is_some()
        );
    }
}
