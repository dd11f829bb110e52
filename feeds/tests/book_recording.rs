//! The book against a `BTreeMap` on recorded Binance BTCUSDT sessions, compared after every diff.
//!
//! The recordings are not part of the repository; without them the test says so and passes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::{Price, Qty, Side};
use serde_json::Value;

#[test]
fn recorded_binance_diffs_give_the_levels_of_a_sorted_map() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/binance/spot");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no recordings in {}", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // BTCUSDT only: the second file continues the first without a gap in its update ids.
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("btcusdt"));
    paths.sort();

    let mut book = Book::new();
    // Mirrored asks, so that both maps have their best level last.
    let mut models = [BTreeMap::<i64, i64>::new(), BTreeMap::new()];
    let (mut snapshots, mut diffs, mut levels_compared) = (0, 0, 0_u64);
    for path in &paths {
        for line in BufReader::new(flate2::read::GzDecoder::new(File::open(path).unwrap())).lines() {
            let line = line.unwrap();
            let message: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
            let (sides, is_snapshot) = match &message["stream"] {
                Value::Null => ([&message["bids"], &message["asks"]], true),
                Value::String(stream) if stream.contains("@depth") => {
                    ([&message["data"]["b"], &message["data"]["a"]], false)
                }
                _ => continue,
            };
            if is_snapshot {
                book.clear();
                models.iter_mut().for_each(BTreeMap::clear);
                snapshots += 1;
            } else {
                diffs += 1;
            }
            for (index, side) in [Side::Bid, Side::Ask].into_iter().enumerate() {
                for level in sides[index].as_array().unwrap() {
                    let price = mantissa(level[0].as_str().unwrap(), 2);
                    let qty = mantissa(level[1].as_str().unwrap(), 8);
                    let before = book.set(side, Price(price), Qty(qty));
                    let key = if index == 0 { price } else { -price };
                    let expected = match qty {
                        0 => models[index].remove(&key),
                        qty => models[index].insert(key, qty),
                    };
                    assert_eq!(before, Qty(expected.unwrap_or(0)), "{side:?} {price}");
                }
                let expected = models[index].iter().rev().map(|(&key, &qty)| Level {
                    price: Price(key.abs()),
                    qty: Qty(qty),
                });
                // Whole books of 2,000 levels cost more than everything else: the top each time, all now and then.
                let depth = if diffs % 50 == 0 || is_snapshot {
                    usize::MAX
                } else {
                    100
                };
                assert!(
                    book.levels(side).take(depth).eq(expected.take(depth)),
                    "{side:?} differs after diff {diffs}"
                );
                assert_eq!(book.level_count(side), models[index].len());
                levels_compared += depth.min(models[index].len()) as u64;
            }
        }
    }
    eprintln!(
        "{snapshots} snapshots, {diffs} diffs, {levels_compared} levels compared, {:?}",
        book.stats()
    );
    assert!(paths.is_empty() || diffs > 1_000, "the recordings hold no diffs");
}

/// `61837.63000000` at two decimals is 6183763. What is cut off must be zeros.
fn mantissa(text: &str, decimals: usize) -> i64 {
    let (whole, fraction) = text.split_once('.').expect("Binance prints a point");
    let (kept, cut) = fraction.split_at(decimals);
    assert!(
        cut.bytes().all(|digit| digit == b'0'),
        "{text} has more than {decimals} decimals"
    );
    format!("{whole}{kept}").parse().expect("digits")
}
