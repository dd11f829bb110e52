//! The signal ring: whole signals only, and an exact count of what was missed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{ring_options, sample, shm};
use quantumflow_region::{CreateError, Liveness, Poll, ReadError, RingError, SignalClass, SignalReader, SignalWriter};

#[test]
fn every_field_arrives() {
    let dir = shm();
    let mut writer = SignalWriter::create(dir.path(), &ring_options("engine", 5, 8)).unwrap();
    let mut reader = SignalReader::open(writer.path().unwrap()).unwrap();
    assert_eq!(reader.next(), Poll::Empty);
    for i in 0..5 {
        assert_eq!(writer.publish(&sample(i)), i);
    }
    for i in 0..5 {
        assert_eq!(reader.next(), Poll::Signal(sample(i)));
    }
    assert_eq!(reader.next(), Poll::Empty);
    assert_eq!(sample(2).class(), Some(SignalClass::Up));
    assert_eq!(
        (reader.published(), reader.position(), reader.info().start_unix_ns),
        (5, 5, 5)
    );
}

#[test]
fn symbols_and_models_are_found_once_they_are_added() {
    let mut writer = SignalWriter::private(&ring_options("engine", 5, 8)).unwrap();
    let reader = SignalReader::of(&writer).unwrap();
    assert_eq!((reader.symbol(0), reader.model(0)), (None, None));
    assert_eq!(writer.add_symbol("binance", "BTCUSDT", 2, 5), Ok(0));
    assert_eq!(writer.add_symbol("kraken", &"X".repeat(32), 18, 0), Ok(1));
    assert_eq!(
        writer.add_model("lstm_v1", 0xABCD, 1_000_000_000, ["down", "flat", "up"]),
        Ok(0)
    );
    let symbol = reader.symbol(0).unwrap();
    assert_eq!((symbol.venue.as_str(), symbol.symbol.as_str()), ("binance", "BTCUSDT"));
    assert_eq!((symbol.price_scale, symbol.qty_scale), (2, 5));
    assert_eq!(reader.symbol(1).unwrap().symbol.len(), 32);
    assert_eq!(reader.symbol(2), None);
    let model = reader.model(0).unwrap();
    assert_eq!(
        (model.name.as_str(), model.hash, model.horizon_ns),
        ("lstm_v1", 0xABCD, 1_000_000_000)
    );
    assert_eq!(model.classes, ["down", "flat", "up"]);

    assert!(matches!(
        writer.add_symbol("", "X", 0, 0),
        Err(RingError::Text { what: "venue", .. })
    ));
    assert!(matches!(
        writer.add_symbol("v", &"X".repeat(33), 0, 0),
        Err(RingError::Text { most: 32, .. })
    ));
    assert!(matches!(
        writer.add_symbol("v", "X", 19, 0),
        Err(RingError::Scale { .. })
    ));
    let full = (0..2000).find_map(|_| writer.add_symbol("v", "X", 0, 0).err());
    assert!(matches!(
        full,
        Some(RingError::Full {
            what: "symbols",
            most: 1024
        })
    ));
}

#[test]
fn a_lapped_reader_is_told_how_many_it_missed() {
    let mut writer = SignalWriter::private(&ring_options("engine", 5, 8)).unwrap();
    let mut reader = SignalReader::of(&writer).unwrap();
    (0..8).for_each(|i| assert_eq!(writer.publish(&sample(i)), i));
    assert_eq!(reader.next(), Poll::Signal(sample(0)), "a full ring has lost nothing");
    (8..20).for_each(|i| assert_eq!(writer.publish(&sample(i)), i));
    assert_eq!(
        reader.next(),
        Poll::Lapped { missed: 15 },
        "1 to 15 are gone, half a ring is left"
    );
    for i in 16..20 {
        assert_eq!(reader.next(), Poll::Signal(sample(i)));
    }
    assert_eq!(reader.next(), Poll::Empty);
}

#[test]
fn a_reader_starts_at_the_newest_and_can_go_back() {
    let dir = shm();
    let mut writer = SignalWriter::create(dir.path(), &ring_options("engine", 5, 8)).unwrap();
    (0..3).for_each(|i| assert_eq!(writer.publish(&sample(i)), i));
    let mut reader = SignalReader::open(writer.path().unwrap()).unwrap();
    assert_eq!(reader.next(), Poll::Empty);
    reader.seek_oldest();
    assert_eq!(reader.next(), Poll::Signal(sample(0)));
    assert_eq!(reader.seek_newest(), 2);
    assert_eq!(reader.next(), Poll::Empty);
    (3..20).for_each(|i| assert_eq!(writer.publish(&sample(i)), i));
    reader.seek_oldest();
    assert_eq!(
        reader.next(),
        Poll::Signal(sample(16)),
        "half a ring while the writer is at work"
    );

    assert_eq!(reader.liveness().unwrap(), Liveness::Live);
    writer.set_draining();
    assert_eq!(reader.liveness().unwrap(), Liveness::Draining);
    drop(writer);
    assert_eq!(reader.liveness().unwrap(), Liveness::Closed);
    reader.seek_oldest();
    assert_eq!(
        reader.next(),
        Poll::Signal(sample(12)),
        "all of it when the writer is gone"
    );
}

/// A writer at full speed against readers of every pace: what is handed out is whole and in order, and what was received
/// and what was missed add up to what was published.
#[test]
fn received_and_missed_add_up_and_nothing_is_torn() {
    const PUBLISHED: u64 = 2_000_000;
    let dir = shm();
    let mut writer = SignalWriter::create(dir.path(), &ring_options("engine", 5, 64)).unwrap();
    let path = writer.path().unwrap().to_path_buf();
    let done = AtomicBool::new(false);
    let check_reader = |pause: u32| {
        let mut reader = SignalReader::open(&path).unwrap();
        let (mut received, mut missed, mut expected) = (0, reader.position(), reader.position());
        loop {
            let finished = done.load(Ordering::Acquire);
            match reader.next() {
                Poll::Signal(signal) => {
                    assert_eq!(signal, sample(expected), "torn or out of order");
                    received += 1;
                    expected += 1;
                    (0..pause).for_each(|_| std::hint::spin_loop());
                }
                Poll::Lapped { missed: gap } => {
                    assert!(gap > 0);
                    missed += gap;
                    expected += gap;
                }
                Poll::Empty if finished => break,
                Poll::Empty => std::thread::yield_now(),
            }
        }
        assert_eq!(received + missed, PUBLISHED);
        (received, missed)
    };
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = [0, 20, 400]
            .map(|pause| scope.spawn(move || check_reader(pause)))
            .into();
        for i in 0..PUBLISHED {
            writer.publish(&sample(i));
            // Bursts with pauses: lapped readers and readers that keep up both occur.
            if i % 1000 == 0 {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(
        seen.iter().any(|(received, _)| *received > 0) && seen.iter().any(|(_, missed)| *missed > 0),
        "{seen:?}"
    );
}

#[test]
fn sizes_that_make_no_ring_are_refused() {
    let refused = |slots| {
        matches!(
            SignalWriter::private(&ring_options("e", 1, slots)),
            Err(CreateError::OutOfLimits { .. })
        )
    };
    assert!(refused(0) && refused(4) && refused(100) && refused(1 << 23));
}

#[test]
fn a_region_is_not_a_ring() {
    let dir = shm();
    let region = quantumflow_region::RegionWriter::create(dir.path(), &common::options("engine", 1)).unwrap();
    let error = SignalReader::open(region.path().unwrap()).unwrap_err();
    assert!(matches!(
        error,
        ReadError::Format {
            source: quantumflow_region::FormatError::Magic(_),
            ..
        }
    ));
    let ring = SignalWriter::create(dir.path(), &ring_options("engine", 1, 8)).unwrap();
    assert!(quantumflow_region::RegionReader::open(ring.path().unwrap()).is_err());
}
