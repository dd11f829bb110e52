//! The promise that everything else here serves: a book that is shown as verified is right, one that is in doubt says so,
//! and all of them come back by themselves.
//!
//! A storm of faults over each venue, by sockets, against the client that an engine is made of. Each book that is told is
//! held at once against a second run of the same market: a verified one has to be one of its states, not an earlier one
//! than the last, with the id of that state where the venue has ids of its books. When the storm is over every book comes
//! back, and when the market then stands still each is the market's last state.
//!
//! `CHAOS_FAULTS` (of all venues together) and `CHAOS_SEED` make it another or a longer storm; a failure names both. The
//! same seed draws the same faults, but which message meets which also depends on how soon a client comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chaos_support;

use std::thread;

use chaos_support::{Report, hidden_storm, ride, storm};
use quantumflow_feeds::VenueId;
use quantumflow_feeds::sim::FaultKind;

#[test]
fn no_storm_makes_a_wrong_book_look_right_and_all_books_come_back() {
    let faults = setting("CHAOS_FAULTS", 1_040).max(1);
    let seed = setting("CHAOS_SEED", 1);
    let each = faults.div_ceil(VenueId::ALL.len() as u64);
    let riders = VenueId::ALL.map(|venue| (venue, thread::spawn(move || ride(venue, storm(venue, seed), each))));
    let mut reports = Vec::new();
    let mut failures = Vec::new();
    for (venue, rider) in riders {
        match rider.join().unwrap() {
            Ok(report) => reports.push(report),
            Err(words) => failures.push(format!("{venue}: {words}")),
        }
    }
    reports.iter().for_each(print);
    print_faults(&reports);
    assert!(
        failures.is_empty(),
        "with CHAOS_SEED={seed} CHAOS_FAULTS={faults}:\n{}",
        failures.join("\n")
    );
    let struck: u64 = reports.iter().map(|report| report.stats.faults_fired).sum();
    let verified: u64 = reports.iter().map(|report| report.tally.verified).sum();
    println!("{struck} faults, {verified} books shown as verified, each of them right (seed {seed})");
    assert!(
        struck >= faults && verified > faults,
        "{struck} faults, {verified} books"
    );
    let has_struck = |kind: &FaultKind| reports.iter().any(|report| report.stats.faults_of(*kind) > 0);
    let kinds = FaultKind::ALL.into_iter().filter(has_struck).count();
    assert!(kinds >= 20 || faults < 1_000, "only {kinds} kinds of faults");
}

/// Nothing on the wire says that these levels are wrong, so the books are shown, and only the judge can tell.
#[test]
fn the_judge_sees_a_wrong_level_that_no_client_can() {
    let words = ride(VenueId::BinanceUsdm, hidden_storm(3), 200).unwrap_err();
    assert!(
        words.contains("is told as verified") && words.contains("1 levels differ"),
        "{words}"
    );
}

fn print(report: &Report) {
    let tally = &report.tally;
    println!(
        "{}: {} faults, {} books verified, {} unverified and right, {} unverified and wrong, {} looked at, {} restarts \
         of ids, {:.1} s\n  taken down: {:?}\n  connections lost: {:?}",
        report.venue,
        report.stats.faults_fired,
        tally.verified,
        tally.unverified,
        tally.unverified_wrong,
        tally.looked_at,
        tally.restarts,
        report.took.as_secs_f64(),
        tally.resyncs,
        report.lost
    );
}

/// A line for each kind: how often it struck on each venue, in their order.
fn print_faults(reports: &[Report]) {
    for kind in FaultKind::ALL {
        let counts: Vec<u64> = reports.iter().map(|report| report.stats.faults_of(kind)).collect();
        let sum: u64 = counts.iter().sum();
        if sum > 0 {
            let columns: String = counts.iter().map(|count| format!("{count:>6}")).collect();
            println!("{kind:<20} {sum:>6} {columns}");
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => usual,
    }
}
