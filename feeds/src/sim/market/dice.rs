//! The few distributions that the market draws from, over one seeded generator.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded source of draws. The same seed gives the same draws on the same machine; `ln` and `exp` come from the
/// platform, so the last bit of a float may differ between platforms.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Dice {
    rng: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Dice {
    /// Independent draws for each `(seed, stream)`.
    pub(in crate::sim) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self {
            rng,
            spare_normal: None,
        }
    }

    /// Uniform in `[0, 1)`.
    pub(in crate::sim) fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p`.
    pub(in crate::sim) fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..count`; `count` must not be zero.
    pub(in crate::sim) fn below(&mut self, count: usize) -> usize {
        debug_assert!(count > 0);
        // The multiplication can round up to `count` itself.
        ((self.uniform() * count as f64) as usize).min(count - 1)
    }

    /// Mean one.
    pub(in crate::sim) fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Mean zero, variance one (Marsaglia's polar method: two draws at a time).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let radius = x * x + y * y;
            if radius > 0.0 && radius < 1.0 {
                let factor = (-2.0 * radius.ln() / radius).sqrt();
                self.spare_normal = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// Median one; `sigma` is the deviation of the logarithm.
    pub(super) fn log_normal(&mut self, sigma: f64) -> f64 {
        (sigma * self.normal()).exp()
    }

    /// From zero, with the tail `P(x > t) = (1 + t)^-alpha`: most draws are small, a few are very large.
    pub(super) fn lomax(&mut self, alpha: f64) -> f64 {
        (1.0 - self.uniform()).powf(-1.0 / alpha) - 1.0
    }
}
