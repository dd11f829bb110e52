//! What goes wrong on a venue, and what is left out because nothing there can tell that it has.

use std::time::Duration;

use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::{Chaos, Fault, FaultKind, PlannedFault};

use super::judge::Proof;

/// Every kind of fault, but for what nothing can detect on this venue.
pub fn storm(venue: VenueId, seed: u64) -> Chaos {
    let faults_per_thousand = match venue {
        VenueId::CoinbaseExchange => FAULTS_PER_THOUSAND_BATCHES,
        _ => FAULTS_PER_THOUSAND,
    };
    let chaos = Chaos::new(seed, faults_per_thousand);
    let mut mix: Vec<(Fault, u32)> = chaos.mix.iter().filter_map(|drawn| tuned(venue, drawn)).collect();
    mix.extend([
        (FaultKind::OversizedFrame.typical(), 2),
        (Fault::ClockStep { milliseconds: -400 }, 2),
        (Fault::RestTruncated { is_length_right: false }, 2),
        (rate_limit(), 2),
        (Fault::Mute, 1),
        (Fault::RefuseSubscription, 1),
    ]);
    // Its far levels are none of the market's, so only where a book is cut off above them.
    if matches!(venue, VenueId::KrakenV2 | VenueId::BybitSpot | VenueId::BybitLinear) {
        mix.push((Fault::HugeSnapshot { bytes: 200_000 }, 2));
    }
    Chaos { mix, ..chaos }
}

/// Where a book has ids they start again once for each symbol, and always from zero: of two restarts within one wait for
/// a snapshot, nothing could say which of them an id is of.
pub fn restarts(venue: VenueId, symbols: &[&str], seed: u64) -> Vec<PlannedFault> {
    if Proof::of(venue).id_step.is_none() {
        return Vec::new();
    }
    let restart = |(place, symbol): (u64, &&str)| {
        let after = 60 + (seed * 31 + place * 47) % 150;
        PlannedFault::new(Fault::SequenceRestart).symbol(symbol).after(after)
    };
    (0..).zip(symbols).map(restart).collect()
}

/// Wrong levels under right ids, which nothing can detect on Binance unless they are the best.
pub fn hidden_storm(seed: u64) -> Chaos {
    Chaos {
        mix: vec![(Fault::CorruptLevel, 1)],
        ..Chaos::new(seed, FAULTS_PER_THOUSAND)
    }
}

/// A fault of an ordinary storm with its weight, or what becomes of it here.
fn tuned(venue: VenueId, (fault, weight): &(Fault, u32)) -> Option<(Fault, u32)> {
    let is_binance = matches!(venue, VenueId::BinanceSpot | VenueId::BinanceUsdm);
    let fault = match fault {
        // Under right ids nothing tells a wrong level from a right one, unless it is the best. On Kraken the checksum
        // does; the other venues' simulators leave these out by themselves.
        Fault::CorruptLevel | Fault::CorruptPrice | Fault::ResurrectLevel if is_binance => return None,
        // These have them by plan.
        Fault::SequenceRestart if Proof::of(venue).id_step.is_some() => return None,
        // A silence costs a second each, so they are the fewest.
        Fault::Freeze | Fault::HalfOpen => return Some((fault.clone(), *weight)),
        Fault::Stall { .. } => Fault::Stall {
            lasting: Duration::from_millis(60),
        },
        Fault::SlowWire { .. } => Fault::SlowWire {
            bytes_per_second: 5_000,
            lasting: Duration::from_millis(150),
        },
        other => other.clone(),
    };
    Some((fault, 3 * weight))
}

fn rate_limit() -> Fault {
    Fault::RestStatus {
        status: 429,
        retry_after_seconds: None,
    }
}

/// Of all messages; on Coinbase Exchange more, as it says less.
const FAULTS_PER_THOUSAND: f64 = 40.0;
const FAULTS_PER_THOUSAND_BATCHES: f64 = 100.0;
