//! What the simulated venue does wrong, and how its load comes, as the command line says it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use quantumflow_feeds::sim::{
    Chaos, Fault, FaultKind, HawkesConfig, LoadShape, PlannedFault, SimConfig, arrival_times, densest_window,
};

/// Faults and loads.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trouble")]
pub(super) struct TroubleArgs {
    /// One fault by plan: NAME[@AFTER][/SYMBOL], for instance skip-update@500/BTCUSDT (repeatable). An unknown name is
    /// answered with the list
    #[arg(long, value_parser = parse_fault)]
    fault: Vec<PlannedFault>,
    /// So many faults in a thousand messages, drawn from --chaos-seed: the same seed and messages, the same faults
    #[arg(long, value_name = "RATE")]
    chaos: Option<f64>,
    /// Seed of --chaos
    #[arg(long, requires = "chaos", default_value_t = 1)]
    chaos_seed: u64,
    /// What --chaos draws from, with weights: skip-update:4,stall:2; if not given, all that a client can recover from
    #[arg(long, requires = "chaos", value_delimiter = ',', value_parser = parse_weighted)]
    chaos_mix: Vec<(Fault, u32)>,
    /// Nothing more goes wrong after so many seconds
    #[arg(long, requires = "chaos", value_name = "SECONDS")]
    chaos_calm_after: Option<f64>,
    /// A self-exciting load: BASE,BRANCHING,DECAY in events per second, children per event (below 1) and per second
    #[arg(long, value_parser = parse_hawkes, conflicts_with_all = ["rate", "capture", "burst_of"])]
    hawkes: Option<HawkesConfig>,
    /// Replay the densest moment of this recording as the load of the generated market, again and again (repeatable)
    #[arg(long, value_name = "CAPTURE", conflicts_with_all = ["rate", "capture"])]
    burst_of: Vec<PathBuf>,
    /// Length of that moment, in milliseconds
    #[arg(long, requires = "burst_of", default_value_t = 10.0)]
    burst_window_ms: f64,
    /// From the start of one to the start of the next, in milliseconds
    #[arg(long, requires = "burst_of", default_value_t = 1000.0)]
    burst_every_ms: f64,
}

impl TroubleArgs {
    /// The load that was asked for, if one was.
    pub(super) fn load(&self, seed: u64) -> Result<Option<LoadShape>, String> {
        if let Some(hawkes) = self.hawkes {
            return Ok(Some(LoadShape::Hawkes(HawkesConfig { seed, ..hawkes })));
        }
        if self.burst_of.is_empty() {
            return Ok(None);
        }
        let arrivals = arrival_times(&self.burst_of).map_err(|error| format!("--burst-of: {error}"))?;
        let offsets_ns = densest_window(&arrivals, (self.burst_window_ms.max(0.0) * 1e6) as u64);
        Ok(Some(LoadShape::Replay {
            offsets_ns: offsets_ns.into(),
            every: Duration::try_from_secs_f64(self.burst_every_ms / 1e3)
                .map_err(|error| format!("--burst-every-ms: {error}"))?,
        }))
    }

    pub(super) fn apply(&self, config: &mut SimConfig) -> Result<(), String> {
        config.faults.extend(self.fault.iter().cloned());
        let Some(rate) = self.chaos else { return Ok(()) };
        let mut chaos = Chaos::new(self.chaos_seed, rate);
        if !self.chaos_mix.is_empty() {
            chaos.mix.clone_from(&self.chaos_mix);
        }
        chaos.calm_after = match self.chaos_calm_after {
            Some(seconds) => {
                Some(Duration::try_from_secs_f64(seconds).map_err(|error| format!("--chaos-calm-after: {error}"))?)
            }
            None => None,
        };
        config.chaos = Some(chaos);
        Ok(())
    }
}

/// `NAME[@AFTER][/SYMBOL]`; a symbol may have slashes of its own.
fn parse_fault(text: &str) -> Result<PlannedFault, String> {
    let (what, symbol) = match text.split_once('/') {
        Some((what, symbol)) => (what, Some(symbol)),
        None => (text, None),
    };
    let (name, after) = match what.split_once('@') {
        Some((name, after)) => (name, number(after)?),
        None => (what, 0),
    };
    let fault = PlannedFault::new(kind(name)?.typical()).after(after);
    Ok(match symbol {
        Some(symbol) => fault.symbol(symbol),
        None => fault,
    })
}

fn parse_weighted(text: &str) -> Result<(Fault, u32), String> {
    let (name, weight) = text.split_once(':').unwrap_or((text, "1"));
    Ok((kind(name)?.typical(), number(weight)?))
}

fn parse_hawkes(text: &str) -> Result<HawkesConfig, String> {
    let parts: Vec<f64> = text.split(',').map(number).collect::<Result<_, _>>()?;
    match parts[..] {
        [base_rate, branching_ratio, decay_per_second] => Ok(HawkesConfig {
            base_rate,
            branching_ratio,
            decay_per_second,
            seed: 0,
        }),
        _ => Err("three numbers: BASE,BRANCHING,DECAY".to_owned()),
    }
}

fn kind(name: &str) -> Result<FaultKind, String> {
    name.parse().map_err(|error| format!("{error}"))
}

fn number<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_their_place_and_symbol() {
        assert_eq!(
            parse_fault("skip-update@500/BTC/USD"),
            Ok(PlannedFault::new(Fault::SkipUpdate).after(500).symbol("BTC/USD"))
        );
        assert_eq!(parse_fault("skip-update"), Ok(PlannedFault::new(Fault::SkipUpdate)));
        assert_eq!(parse_weighted("skip-update:4"), Ok((Fault::SkipUpdate, 4)));
        for (wrong, word) in [
            ("meteor", "skip-update"),
            ("skip-update@x", "\"x\""),
            ("skip-update@-1", "\"-1\""),
        ] {
            let error = parse_fault(wrong).expect_err(wrong);
            assert!(error.contains(word), "{error}");
        }
        assert!(parse_hawkes("100,0.5").is_err() && parse_hawkes("100,0.5,20").is_ok());
    }
}
