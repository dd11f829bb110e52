//! What went wrong with other systems' shared metrics, and what a scrape says of it here. The numbers are those of the
//! project's list of failure modes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::engine::Engine;
use common::parse::Exposition;
use common::{Exporter, command, once, shm, signal_process, wait};
use quantumflow_region::EXIT_CUT;
use quantumflow_region::{RegionOptions, RegionWriter, catalogue};

/// Not a test: the engine that the tests below start, as a process of its own.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn engine_process() {
    common::engine::run();
}

/// The only region of a directory.
fn region_file(dir: &Path) -> File {
    let path = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// Overwrites a field of the header, and its checksum so that it holds again.
fn forge(file: &File, at: usize, bytes: &[u8]) {
    let mut page = vec![0; 4096];
    file.read_exact_at(&mut page, 0).unwrap();
    page[at..at + bytes.len()].copy_from_slice(bytes);
    page[CRC..CRC + 4].fill(0);
    let len = u32::from_le_bytes(page[16..20].try_into().unwrap()) as usize;
    let crc = crc32c(&page[..len]);
    page[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&page, 0).unwrap();
}

const CRC: usize = 20;
const PID: usize = 64;
const BOOT_ID: usize = 80;
const SECTION_TABLE: usize = 256;

/// Bit by bit, as the polynomial's definition has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes
        .iter()
        .fold(!0, |crc, &b| (0..8).fold(crc ^ u32::from(b), |crc, _| step(crc)))
}

/// Where a section of the file begins.
fn section(file: &File, kind: u32) -> u64 {
    let mut page = vec![0; 4096];
    file.read_exact_at(&mut page, 0).unwrap();
    let entry = page[SECTION_TABLE..]
        .chunks_exact(32)
        .find(|entry| entry[..4] == kind.to_le_bytes())
        .unwrap();
    u64::from_le_bytes(entry[8..16].try_into().unwrap())
}

#[test]
fn f03_a_bus_error_ends_the_exporter_with_a_code_of_its_own() {
    let dir = shm();
    let mut child = command(dir.path())
        .args(["--web.listen-address", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first line says that it serves.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    signal_process(child.id(), "BUS");
    assert_eq!(wait(&mut child).code(), Some(EXIT_CUT));
}

#[test]
fn f03_a_region_cut_again_and_again_is_survived_or_ends_it_with_that_code() {
    let dir = shm();
    let engine = Engine::start(dir.path(), 1);
    // Stopped, so that it does not trip over the hole itself.
    signal_process(engine.0.id(), "STOP");
    let file = region_file(dir.path());
    let len = file.metadata().unwrap().len();
    let mut sound = vec![0; 1 << 20];
    file.read_exact_at(&mut sound, 0).unwrap();
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let (mut states, mut ends) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        // Set when the test ends, also where it fails.
        let _end = Set(stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                file.set_len(4096).unwrap();
                file.set_len(len).unwrap();
                file.write_all_at(&sound, 0).unwrap();
            }
        });
        for _ in 0..60 {
            let output = command(dir.path()).arg("--once").output().unwrap();
            if output.status.success() {
                let scrape = Exposition::parse(&String::from_utf8(output.stdout).unwrap());
                states.push(scrape.state().0);
            } else {
                assert_eq!(output.status.code(), Some(EXIT_CUT), "{output:?}");
                ends += 1;
            }
        }
    });
    println!("{ends} ends, and the states {states:?}");
    let known = ["live", "stalled", "unreadable", "crashed"];
    assert!(states.iter().all(|state| known.contains(&state.as_str())), "{states:?}");
    assert_eq!(Exposition::parse(&once(dir.path())).state().0, "live", "whole again");
}

struct Set<'a>(&'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn f09_a_forged_process_id_decides_nothing() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let writer = region.writer("hot-0").unwrap();
    writer.adopt_current_thread();
    region.live().heartbeat(1, 1);
    let scrape = Exposition::parse(&once(dir.path()));
    assert!(scrape.get("hft_process_threads", &[]).is_some());
    // Of a process that does not exist, of init, of none.
    for pid in [4_000_000_u32, 1, 0] {
        forge(&region_file(dir.path()), PID, &pid.to_le_bytes());
        let scrape = Exposition::parse(&once(dir.path()));
        assert_eq!(
            scrape.state(),
            ("live".into(), "".into()),
            "the lock decides, not process {pid}"
        );
        assert_eq!(
            scrape.get("hft_process_threads", &[]),
            None,
            "process {pid} is not the engine"
        );
        assert!(scrape.get("hft_process_start_time_seconds", &[]).is_some());
    }
}

#[test]
fn f09_an_engine_in_another_pid_namespace_is_live_without_process_metrics() {
    let dir = shm();
    let _engine = Engine::start(dir.path(), 1);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"])
        .arg(env!("CARGO_BIN_EXE_quantumflow-exporter"))
        .arg("--region-dir")
        .arg(dir.path())
        .arg("--once")
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: this host does not let unshare make a pid namespace");
        return;
    };
    let scrape = Exposition::parse(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(scrape.state().0, "live");
    assert_eq!(scrape.get("hft_process_threads", &[]), None);
    assert!(scrape.get("process_threads", &[]).is_some(), "its own are seen");
}

#[test]
fn f10_a_region_of_an_earlier_start_of_the_host_is_dead_and_says_so() {
    let dir = shm();
    let mut engine = Engine::start(dir.path(), 1);
    forge(&region_file(dir.path()), BOOT_ID, &[7; 16]);
    let scrape = Exposition::parse(&once(dir.path()));
    assert_eq!(scrape.state().0, "live", "the lock decides");
    assert_eq!(
        scrape.get("hft_process_threads", &[]),
        None,
        "process ids of another start mean nothing"
    );
    engine.kill();
    let (state, reason) = Exposition::parse(&once(dir.path())).state();
    assert_eq!(state, "crashed");
    assert!(reason.contains("before this host was last started"), "{reason}");
}

#[test]
fn f10_steps_of_the_engines_clock_change_nothing() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", u64::MAX)).unwrap();
    let updates = region
        .writer("hot-0")
        .unwrap()
        .counter(&catalogue::SIGNALS_PUBLISHED, &[])
        .unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    let day = 86_400_000_000_000;
    let now = 1_700_000_000_000_000_000;
    for unix_ns in [now, now - day, now + 300 * day, 1, u64::MAX, now] {
        region.live().heartbeat(unix_ns, unix_ns);
        updates.inc();
        let scrape = exporter.scrape();
        assert_eq!(scrape.state(), ("live".into(), "".into()), "{unix_ns}");
        let shown = scrape.get("hft_heartbeat_timestamp_seconds", &[]).unwrap();
        assert!((shown - unix_ns as f64 / 1e9).abs() < 1.0, "it is shown as it is");
    }
    assert_eq!(exporter.scrape().get("hft_signals_published_total", &[]), Some(6.0));
}

#[test]
fn f11_a_writer_that_stands_inside_a_record_holds_nothing_up() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", 1)).unwrap();
    let mut writer = region.writer("hot-0").unwrap();
    let histogram = writer.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    histogram.record(1000);
    writer.loop_begin();
    // As a thread leaves it that was stopped between the begin and the end of its second record.
    let file = region_file(dir.path());
    let begin = section(&file, 6);
    file.write_all_at(&2_u64.to_le_bytes(), begin).unwrap();
    let exporter = Exporter::start(dir.path(), &[]);
    for _ in 0..5 {
        let scrape = exporter.scrape();
        assert_eq!(scrape.state().0, "live");
        assert_eq!(scrape.get("hft_scrape_uncertainty_records", &[]), Some(1.0));
        assert_eq!(
            scrape.get("hft_feature_latency_seconds_count", &[]),
            None,
            "a line of a family"
        );
        let labels = [("engine".to_owned(), "engine".to_owned())].into();
        let (_, _, count) = scrape.histogram("hft_feature_latency_seconds", &labels);
        assert_eq!(count, 1);
        // A pass that waited for the record's end would never come back; this bound only tells the two apart.
        assert!(scrape.get("hft_scrape_duration_seconds", &[]).unwrap() < 1.0);
    }
}

#[test]
fn f20_a_new_start_counts_from_zero_and_says_since_when() {
    let dir = shm();
    let exporter = Exporter::start(dir.path(), &[]);
    for (start_s, updates) in [(1_700_000_000_u64, 42), (1_700_000_100, 5)] {
        let region = RegionWriter::create(dir.path(), &RegionOptions::new("engine", start_s * 1_000_000_000)).unwrap();
        let writer = region.writer("hot-0").unwrap();
        writer.counter(&catalogue::SIGNALS_PUBLISHED, &[]).unwrap().add(updates);
        region.live().heartbeat(1, 1);
        let scrape = exporter.scrape();
        assert_eq!(scrape.get("hft_signals_published_total", &[]), Some(updates as f64));
        assert_eq!(scrape.get("hft_process_start_time_seconds", &[]), Some(start_s as f64));
        region.close(0);
        assert_eq!(
            exporter.scrape().get("hft_signals_published_total", &[]),
            None,
            "nothing is carried over"
        );
    }
}
