//! A ring whose bytes were damaged, before it is opened and under the open reader: a typed error, or signals in order,
//! lapses that lead forward, and an end. Never a panic, never a wait.
//!
//! Input: one byte (bit 0: sign the header again; the rest: how many wounds come before the opening) and wounds.

#![no_main]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quantumflow_fuzz::{scratch, wounds};
use quantumflow_region::{Poll, ReadError, RingOptions, Signal, SignalReader, SignalWriter};

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);
static PATH: LazyLock<PathBuf> = LazyLock::new(|| scratch("fuzz.2.2.ring"));

fuzz_target!(
    init: quantumflow_fuzz::plant(seeds()),
    |input: &[u8]| {
        let Some((&choice, rest)) = input.split_first() else {
            return;
        };
        let wounds: Vec<_> = wounds::wounds(rest, GOOD.len()).collect();
        let (before, under) = wounds.split_at(usize::from(choice >> 1).min(wounds.len()));
        let mut bytes = GOOD.clone();
        for wound in before {
            bytes[wound.at..][..wound.bytes().len()].copy_from_slice(wound.bytes());
        }
        if choice & 1 == 1 {
            wounds::sign(&mut bytes);
        }
        fs::write(&*PATH, &bytes).expect("scratch can be written");
        let mut reader = match SignalReader::open(&PATH) {
            Ok(reader) => reader,
            Err(ReadError::Format { source, .. }) => {
                assert!(!wounds.is_empty() && !source.to_string().is_empty());
                return;
            }
            Err(error) => panic!("the file is there and whole: {error:?}"),
        };
        let _ = (reader.info().clone(), reader.liveness(), reader.is_current(), reader.heartbeat_unix_ns());
        reader.seek_oldest();
        let signals = read(&mut reader);
        if wounds.is_empty() {
            assert_eq!(signals, PUBLISHED.min(SLOTS));
        }
        let file = File::options().write(true).open(&*PATH).expect("scratch can be written");
        for (number, wound) in under.iter().enumerate() {
            file.write_all_at(wound.bytes(), wound.at as u64).expect("scratch can be written");
            match number % 3 {
                0 => reader.seek_oldest(),
                1 => drop(reader.seek_newest()),
                _ => {}
            }
            let _ = read(&mut reader);
        }
    }
);

/// Reads a while; returns how many signals there were.
fn read(reader: &mut SignalReader) -> u64 {
    let mut count = 0;
    for _ in 0..3 * SLOTS {
        let position = reader.position();
        match reader.next() {
            Poll::Empty => {
                assert_eq!(reader.position(), position);
                break;
            }
            Poll::Signal(signal) => {
                assert_eq!(signal.sequence, position, "signals come in order");
                assert_eq!(reader.position(), position.wrapping_add(1));
                let _ = signal.class();
                let (symbol, model) = (reader.symbol(signal.symbol_id), reader.model(signal.model_id));
                assert!(symbol.is_none_or(|symbol| symbol.venue.len() + symbol.symbol.len() < 4096));
                assert!(model.is_none_or(|model| model.classes.iter().all(|class| class.len() < 4096)));
                count += 1;
            }
            Poll::Lapped { missed } => {
                assert_eq!(reader.position(), position.wrapping_add(missed));
                assert!(missed > 0 || position == u64::MAX, "a lapse leads forward");
            }
        }
    }
    count
}

fn good() -> Vec<u8> {
    let options = RingOptions {
        slot_count: SLOTS as u32,
        max_symbols: 8,
        max_models: 8,
        ..RingOptions::new("fuzz", 1)
    };
    let dir = scratch("made");
    fs::create_dir_all(&dir).expect("scratch can be written");
    let mut ring = SignalWriter::create(&dir, &options).expect("a small ring");
    ring.add_symbol("kraken", "BTC/USD", 1, 8).expect("room");
    ring.add_model("m", 1, 2, ["down", "flat", "up"]).expect("room");
    for sequence in 0..PUBLISHED {
        let signal = Signal {
            update_id: sequence,
            ..Signal::default()
        };
        ring.publish(&signal);
    }
    fs::read(ring.path().expect("it has a file")).expect("it can be read")
}

fn seeds() -> Vec<Vec<u8>> {
    let ones = u64::MAX.to_le_bytes();
    let mut seeds = vec![vec![0], vec![1]];
    let slots = GOOD.len() - SLOTS as usize * 128;
    for at in (0..320).chain(4096..4352).chain(slots..slots + 512).step_by(16) {
        seeds.push([vec![3], wounds::input(&[(at, &ones[..4]), (at + 8, &[1])])].concat());
        seeds.push([vec![1], wounds::input(&[(at, &ones), (at + 8, &ones), (at, &[9])])].concat());
    }
    seeds
}

const SLOTS: u64 = 8;
const PUBLISHED: u64 = 13;
