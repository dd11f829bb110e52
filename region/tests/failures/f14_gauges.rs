//! F14: a gauge that one thread raises and another lowers underflows when each keeps an unsigned share. A share is an `i64`,
//! shares are added up wrapping, and only the sum means something.

use std::sync::atomic::{AtomicBool, Ordering};

use quantumflow_region::{RegionReader, RegionWriter, Value, catalogue};

use crate::common::options;

fn standing(reader: &mut RegionReader) -> i64 {
    match reader
        .snapshot()
        .unwrap()
        .find("hft_feed_subscriptions", &[])
        .unwrap()
        .value
    {
        Value::GaugeI64(value) => value,
        ref value => panic!("{value:?}"),
    }
}

#[test]
fn f14_a_gauge_that_one_thread_raises_and_another_lowers_is_their_difference() {
    const STEPS: i64 = 1_000_000;
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let threads = ["up", "down"].map(|name| region.writer(name).unwrap());
    let [up, down] = threads.map(|writer| writer.gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &["binance"]).unwrap());
    let mut reader = RegionReader::of(&region).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers = [
            scope.spawn(move || (0..STEPS).for_each(|_| up.add(1))),
            scope.spawn(move || (0..STEPS).for_each(|_| down.add(-1))),
        ];
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                assert!((-STEPS..=STEPS).contains(&standing(&mut reader)));
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Release);
    });
    let mut reader = RegionReader::of(&region).unwrap();
    assert_eq!(standing(&mut reader), 0);
}

#[test]
fn f14_shares_at_the_ends_of_their_range_wrap_and_do_not_panic() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    for (name, share) in [("a", i64::MAX), ("b", 1), ("c", i64::MIN), ("d", -7)] {
        let writer = region.writer(name).unwrap();
        writer
            .gauge_i64(&catalogue::FEED_SUBSCRIPTIONS, &["binance"])
            .unwrap()
            .set(share);
    }
    assert_eq!(standing(&mut RegionReader::of(&region).unwrap()), -7);
}
