//! Medians of rounds, ratios of the same round, and the machine they belong to.

use serde::Serialize;

/// One engine at one size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which measurement: `receive_path`, `parse`, `wire_to_book_p50`, `wire_to_book_p99`, `burst`, `allocations`.
    pub metric: &'static str,
    /// Changes per side and message.
    pub levels: usize,
    /// Which engine.
    pub engine: String,
    /// Unit of `median`.
    pub unit: &'static str,
    /// Median over the rounds.
    pub median: f64,
    /// Lowest and highest round.
    pub range: [f64; 2],
    /// Median over the rounds of the ratio of this engine and ours, both of the same round; `None` for ours.
    pub ratio: Option<f64>,
    /// What `ratio` says: `times faster` (peer's time over ours, our rate over the peer's) or `of peer` (our latency
    /// over the peer's).
    pub ratio_is: &'static str,
}

/// Where and how it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processor, from `/proc/cpuinfo`.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Compiler target features that matter to the JSON libraries.
    pub target_features: Vec<&'static str>,
    /// Load average over one minute when the run began.
    pub load: f64,
}

impl Machine {
    /// This machine now.
    pub fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = file("/proc/cpuinfo");
        let cpu = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name);
        let mut target_features = Vec::new();
        for (name, on) in [
            ("sse4.2", cfg!(target_feature = "sse4.2")),
            ("avx2", cfg!(target_feature = "avx2")),
            ("bmi2", cfg!(target_feature = "bmi2")),
            ("pclmulqdq", cfg!(target_feature = "pclmulqdq")),
        ] {
            if on {
                target_features.push(name);
            }
        }
        Self {
            cpu: cpu.unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            target_features,
            load: file("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(f64::NAN),
        }
    }
}

/// The middle value; of an even count the mean of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The value below which `share` of the sorted `values` lie.
pub fn percentile(sorted: &[u64], share: f64) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        len => sorted[((len as f64 * share) as usize).min(len - 1)] as f64,
    }
}

/// Lowest and highest.
pub fn range(values: &[f64]) -> [f64; 2] {
    [
        values.iter().copied().fold(f64::INFINITY, f64::min),
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    ]
}

/// The median of `numerators[i] / denominators[i]`: both of the same round.
pub fn paired_ratio(numerators: &[f64], denominators: &[f64]) -> f64 {
    let ratios: Vec<f64> = numerators
        .iter()
        .zip(denominators)
        .map(|(numerator, denominator)| numerator / denominator)
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), 51.0);
        assert_eq!(percentile(&values, 0.99), 100.0);
        assert_eq!(paired_ratio(&[10.0, 20.0, 90.0], &[5.0, 5.0, 10.0]), 4.0);
    }
}
