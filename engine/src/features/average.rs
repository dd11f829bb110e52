//! Averages that forget: one number each, however far they look back.

/// An average of the squared return per second that forgets with time constant `tau_s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct VarianceRate {
    tau_s: f64,
    sum: f64,
    weight: f64,
}

impl VarianceRate {
    pub(super) fn new(tau_s: f64) -> Self {
        Self {
            tau_s,
            sum: 0.0,
            weight: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.tau_s);
    }

    pub(super) fn update(&mut self, change: f64, dt_s: f64) {
        // A sample of rate r^2 / dt with weight dt / (tau + dt): dt cancels, so that two updates at one time are fine.
        let keep = self.tau_s / (self.tau_s + dt_s);
        self.sum = keep * self.sum + change * change / (self.tau_s + dt_s);
        self.weight = keep * self.weight + dt_s / (self.tau_s + dt_s);
    }

    /// Per second; 0 while no time has passed.
    pub(super) fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// An average of the mid price that closes `dt / (tau + dt)` of its distance with each update.
#[derive(Clone, Copy, Debug)]
pub(super) struct MidAverage {
    tau_s: f64,
    /// Of twice the mid price.
    value: f64,
}

impl MidAverage {
    pub(super) fn new(tau_s: f64) -> Self {
        Self { tau_s, value: 0.0 }
    }

    pub(super) fn begin(&mut self, mid2: i64) {
        self.value = mid2 as f64;
    }

    pub(super) fn update(&mut self, mid2: i64, dt_s: f64) {
        self.value += (mid2 as f64 - self.value) * (dt_s / (self.tau_s + dt_s));
    }

    /// How far the mid price is above the average, in basis points of it.
    pub(super) fn return_bps(&self, mid2: f64) -> f64 {
        1e4 * ((mid2 - self.value) / self.value)
    }
}

/// An average of the squared return per update that keeps [`KEEP`] of itself with each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UpdateVariance {
    sum: f64,
    weight: f64,
}

impl UpdateVariance {
    pub(super) fn update(&mut self, change: f64) {
        self.sum = KEEP * self.sum + (1.0 - KEEP) * (change * change);
        self.weight = KEEP * self.weight + (1.0 - KEEP);
    }

    /// 0 before the first update.
    pub(super) fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// RiskMetrics' factor for months, here for updates.
const KEEP: f64 = 0.97;
