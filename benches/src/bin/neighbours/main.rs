//! What one symbol's trouble costs its neighbours on the same connection.
//!
//! One symbol loses a diff again and again, so that its book is fetched anew as often as the venue's budget allows; the
//! others are well. Rounds with the trouble alternate with rounds without, on the same seeded load, so that what the
//! host does to both falls out of the ratios. A message of a healthy symbol is late by all that is done between its
//! arrival and its book: also by the snapshot of another symbol that is read in between.
//!
//! Two judges. `process` gives a session frames at the times of a schedule that is never waited for: the thread is busy
//! as long as each call really took, and what arrives meanwhile waits (Lindley's recursion), so that nothing but the
//! session is measured. `socket` is a feed on a simulator: from the kernel's time stamp to the book.
//!
//! ```console
//! $ cargo run --release -p quantumflow-benches --no-default-features --bin neighbours -- --pairs 9
//! $ cargo run --release -p quantumflow-benches --no-default-features --bin neighbours -- --judge socket --seconds 10
//! ```
//!
//! Read the ratio first: 1.00 at p50, p99 and p99.9 means that the trouble is the troubled symbol's alone. The maximum is
//! the longest stop, and the lines below say what it consists of.

mod load;
mod process;
mod report;
mod socket;

use std::error::Error;
use std::sync::Arc;

use clap::{Parser, ValueEnum};

use report::{Report, Round};

/// What one symbol's trouble costs its neighbours.
#[derive(Debug, Parser)]
struct Args {
    /// Where the latency is taken
    #[arg(long, value_enum, default_value_t = Judge::Process)]
    judge: Judge,
    /// Pairs of rounds, with the trouble and without
    #[arg(long, default_value_t = 9)]
    pairs: usize,
    /// Length of a round
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How often a round of the judge `process` is gone through; the least of what each call took counts
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// Symbols on the connection
    #[arg(long, default_value_t = 20)]
    symbols: usize,
    /// Messages per second, all symbols together
    #[arg(long, default_value_t = 4_000)]
    rate: u32,
    /// Levels per side of a REST snapshot
    #[arg(long, default_value_t = 5_000)]
    depth: u32,
    /// REST weight per minute that the session may use; the default is the venue's usual
    #[arg(long)]
    weight: Option<u32>,
    /// Of the troubled symbol's diffs, one in so many is lost
    #[arg(long, default_value_t = 50)]
    lose_every: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Judge {
    Process,
    Socket,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut report = Report::default();
    let load = Arc::new(load::Load::new(&args));
    for pair in 0..args.pairs {
        // Whichever is first has the warmer or the colder machine: they take turns.
        let order = if pair % 2 == 0 { [false, true] } else { [true, false] };
        let mut rounds = [Round::default(), Round::default()];
        for is_troubled in order {
            rounds[usize::from(is_troubled)] = match args.judge {
                Judge::Process => process::round(&args, &load, is_troubled)?,
                Judge::Socket => socket::round(&args, &load, is_troubled)?,
            };
        }
        report.add(rounds);
    }
    println!("{args:?}");
    println!("{report}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_judges_see_every_message_and_the_trouble() -> Result<(), Box<dyn Error>> {
        let words = "neighbours --seconds 3 --passes 2 --symbols 5 --rate 1000 --depth 500 --lose-every 20";
        let args = Args::parse_from(words.split(' '));
        let load = Arc::new(load::Load::new(&args));
        // The first second is not measured.
        let measured = |arrival: &&load::Arrival| arrival.symbol != 0 && arrival.at_ns > 1_000_000_000;
        let expected = load.arrivals.iter().filter(measured).count() as u64;
        for is_troubled in [false, true] {
            for round in [
                process::round(&args, &load, is_troubled)?,
                socket::round(&args, &load, is_troubled)?,
            ] {
                assert_eq!(round.healthy.len(), expected);
                assert_eq!(round.resyncs > 1, is_troubled);
                assert_eq!(!round.snapshots.is_empty(), is_troubled);
            }
        }
        Ok(())
    }
}
