//! The C header and the Python example against a live ring: every field, and what was missed.
//!
//! Skipped, with a message, where there is no compiler or no Python 3.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{ring_options, sample, shm};
use quantumflow_region::{RingOptions, Signal, SignalWriter};
use serde_json::Value;

/// Symbols and models in the rings of these tests.
const TABLE: u64 = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: no `{program}` on this host");
    }
    found
}

/// A reader as a command that still wants the ring's path, the first sequence and how many.
fn readers(dir: &Path) -> Vec<Vec<PathBuf>> {
    let mut readers = Vec::new();
    if has("cc") {
        let program = dir.join("signals");
        let done = Command::new("cc")
            .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
            .arg(root().join("include"))
            .arg(root().join("examples/signals.c"))
            .arg("-o")
            .arg(&program)
            .status();
        assert!(done.unwrap().success(), "the C example does not compile");
        readers.push(vec![program]);
    }
    if has("python3") {
        readers.push(vec!["python3".into(), "-B".into(), root().join("examples/signals.py")]);
    }
    readers
}

fn ring(dir: &Path, start: u64, slots: u32) -> SignalWriter {
    let options = RingOptions {
        max_symbols: 16,
        max_models: 16,
        ..ring_options("engine", start, slots)
    };
    let mut writer = SignalWriter::create(dir, &options).unwrap();
    for i in 0..TABLE {
        writer.add_symbol("kraken", &format!("S{i}/USD"), i as u8, 8).unwrap();
        writer
            .add_model(&format!("model \"{i}\""), i, 0, ["down", "flat", "up"])
            .unwrap();
    }
    writer
}

fn signal(i: u64) -> Signal {
    Signal {
        symbol_id: (i % TABLE) as u16,
        model_id: (i / TABLE % TABLE) as u16,
        // Also with bits that no reader knows yet.
        flags: (i % 3) as u16,
        ..sample(i)
    }
}

/// Asserts that a line says what [`signal`] of its sequence says.
fn check(line: &Value) -> u64 {
    let number = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"));
    let signed = |key: &str| line[key].as_i64().unwrap_or_else(|| panic!("{key} in {line}"));
    let float = |value: &Value| value.as_f64().unwrap() as f32;
    let read = Signal {
        sequence: number("sequence"),
        symbol_id: number("symbol_id") as u16,
        model_id: number("model_id") as u16,
        class: number("class") as u8,
        quality: number("quality") as u8,
        flags: number("flags") as u16,
        update_id: number("update_id"),
        exchange_time_ns: number("exchange_time_ns"),
        receive_time_ns: number("receive_time_ns"),
        publish_time_ns: number("publish_time_ns"),
        probabilities: [0, 1, 2].map(|i| float(&line["probabilities"][i])),
        confidence: float(&line["confidence"]),
        bid_price: signed("bid_price"),
        bid_qty: signed("bid_qty"),
        ask_price: signed("ask_price"),
        ask_qty: signed("ask_qty"),
        model_hash: number("model_hash"),
        total_latency_ns: number("total_latency_ns"),
        kernel_time_ns: number("kernel_time_ns"),
        reserved: number("reserved"),
    };
    let wanted = signal(read.sequence);
    assert_eq!(read, wanted);
    assert_eq!(line["venue"], "kraken");
    assert_eq!(line["symbol"], format!("S{}/USD", wanted.symbol_id));
    assert_eq!(
        (number("price_scale"), number("qty_scale")),
        (wanted.symbol_id.into(), 8)
    );
    assert_eq!(line["model"], format!("model \"{}\"", wanted.model_id));
    assert_eq!(line["signal"], wanted.class().unwrap().name());
    assert_eq!(line["beyond_horizon"], wanted.is_beyond_horizon());
    read.sequence
}

struct Output {
    sequences: Vec<u64>,
    missed: u64,
}

/// Starts a reader, lets `publish` do its work once the reader has printed its first line, and checks all that it prints.
fn run(reader: &[PathBuf], ring: &Path, count: Option<u64>, publish: impl FnOnce()) -> Output {
    let mut command = Command::new(&reader[0]);
    command
        .args(&reader[1..])
        .arg(ring)
        .arg("0")
        .args(count.map(|count| count.to_string()));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut output = Output {
        sequences: Vec::new(),
        missed: 0,
    };
    let mut take = |line: std::io::Result<String>| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match line["missed"].as_u64() {
            Some(missed) => output.missed += missed,
            None => output.sequences.push(check(&line)),
        }
    };
    take(lines.next().expect("the reader printed nothing"));
    publish();
    lines.for_each(take);
    assert!(child.wait().unwrap().success());
    output
}

#[test]
fn foreign_readers_see_every_field_of_a_live_ring() {
    let dir = shm();
    for (start, reader) in readers(dir.path()).iter().enumerate() {
        let mut writer = ring(dir.path(), start as u64 + 1, 1024);
        let path = writer.path().unwrap().to_path_buf();
        (0..100).for_each(|i| assert_eq!(writer.publish(&signal(i)), i));
        let output = run(reader, &path, Some(600), || {
            for i in 100..600 {
                writer.publish(&signal(i));
                if i % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        assert_eq!(output.missed, 0);
        assert!(output.sequences.iter().copied().eq(0..600), "{reader:?}");
    }
}

#[test]
fn foreign_readers_that_are_lapped_say_how_many_they_missed() {
    let dir = shm();
    for (start, reader) in readers(dir.path()).iter().enumerate() {
        let mut writer = ring(dir.path(), start as u64 + 1, 64);
        let path = writer.path().unwrap().to_path_buf();
        (0..1000).for_each(|i| assert_eq!(writer.publish(&signal(i)), i));
        // The writer's end is what ends the reader: nobody told it how many there will be.
        let output = run(reader, &path, None, move || {
            (1000..200_000).for_each(|i| assert_eq!(writer.publish(&signal(i)), i));
            drop(writer);
        });
        assert!(output.missed >= 1000 - 32, "{reader:?} missed {}", output.missed);
        assert!(output.sequences.is_sorted() && output.sequences.last() == Some(&199_999));
        assert_eq!(output.missed + output.sequences.len() as u64, 200_000, "{reader:?}");
    }
}

#[test]
fn foreign_readers_refuse_what_is_no_ring() {
    let dir = shm();
    let damaged = dir.path().join("engine.1.1.ring");
    let ring = ring(dir.path(), 9, 64);
    let mut bytes = std::fs::read(ring.path().unwrap()).unwrap();
    bytes[72] ^= 0x40;
    std::fs::write(&damaged, bytes).unwrap();
    let region = dir.path().join("engine.2.1.ring");
    std::fs::write(&region, vec![0; 8192]).unwrap();
    for reader in readers(dir.path()) {
        for path in [&damaged, &region, &dir.path().join("missing")] {
            let output = Command::new(&reader[0]).args(&reader[1..]).arg(path).output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty());
            assert!(
                String::from_utf8_lossy(&output.stderr).starts_with("cannot read"),
                "{output:?}"
            );
        }
    }
}

#[test]
fn the_header_compiles_as_cpp() {
    if !has("c++") {
        return;
    }
    let dir = shm();
    let source = dir.path().join("t.cpp");
    let text = "#include \"quantumflow_signal.h\"\nint main(int, char **argv) {\n\
        qf_signal_reader reader; qf_signal s; uint64_t missed = 0; qf_symbol symbol; qf_model model;\n\
        if (qf_signal_open(&reader, argv[1])) return 1;\n\
        qf_signal_seek(&reader, 0);\n\
        bool good = qf_signal_next(&reader, &s, &missed) == QF_SIGNAL && s.sequence == 0 && s.confidence == 0.0f;\n\
        good = good && qf_signal_symbol(&reader, 1, &symbol) && symbol.price_scale == 1;\n\
        good = good && qf_signal_model(&reader, 3, &model) && model.hash == 3;\n\
        good = good && qf_signal_state(&reader) == QF_STATE_LIVE;\n\
        qf_signal_close(&reader); return good ? 0 : 2; }\n";
    std::fs::write(&source, text).unwrap();
    let program = dir.path().join("t");
    let compiled = Command::new("c++")
        .args(["-std=c++11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .args([&source, Path::new("-o"), &program])
        .status();
    assert!(compiled.unwrap().success());
    let mut writer = ring(dir.path(), 1, 64);
    writer.publish(&signal(0));
    assert!(
        Command::new(&program)
            .arg(writer.path().unwrap())
            .status()
            .unwrap()
            .success()
    );
}
