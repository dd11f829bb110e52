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
