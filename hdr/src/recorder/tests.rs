use std::path::Path;

use proptest::prelude::*;
use quantumflow_region::{RegionOptions, RegionReader, RegionWriter, catalogue};

use super::*;
use crate::log::LogReader;
use crate::select::{Selection, Tags};
use crate::time::SECOND_NS;

const START: u64 = 1_763_725_440 * SECOND_NS;

/// An engine with two stages and a model, in private memory.
struct Engine {
    region: RegionWriter,
    reader: RegionReader,
    total: quantumflow_region::Histogram,
    parse: quantumflow_region::Histogram,
}

impl Engine {
    fn start(start_unix_ns: u64) -> Self {
        let mut options = RegionOptions::new("engine", start_unix_ns);
        options.version = "1.2.3".to_owned();
        let region = RegionWriter::private(&options).unwrap();
        let hot = region.writer("hot-0").unwrap();
        let total = hot.histogram(&catalogue::STAGE_LATENCY, &["total"]).unwrap();
        let parse = hot.histogram(&catalogue::STAGE_LATENCY, &["parse"]).unwrap();
        let reader = RegionReader::of(&region).unwrap();
        Self {
            region,
            reader,
            total,
            parse,
        }
    }

    fn show(&mut self, recorder: &mut Recorder, now: u64) -> Result<Observed, RecordError> {
        let snapshot = self.reader.snapshot().unwrap();
        recorder.observe(self.reader.info(), &snapshot, now)
    }
}

fn recorder(dir: &Path) -> Recorder {
    Recorder::new(RecorderOptions::new(dir, START)).unwrap()
}

/// Tag, start and end after START in milliseconds, values: of every line of every file.
fn lines(dir: &Path) -> Vec<(String, u64, u64, u64)> {
    let mut all = Vec::new();
    for path in crate::select::logs_of(dir).unwrap() {
        let mut reader = LogReader::open(&path).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            let ms = |ns: u64| (ns - START) / 1_000_000;
            let count = line.histogram().unwrap().len();
            all.push((
                line.tag.unwrap_or("").to_owned(),
                ms(line.start_ns),
                ms(line.end_ns()),
                count,
            ));
        }
        assert!(!reader.is_cut());
    }
    all
}

fn merged(dir: &Path) -> Tags {
    let mut tags = Tags::default();
    for path in crate::select::logs_of(dir).unwrap() {
        tags.gather(&mut LogReader::open(&path).unwrap(), &Selection::default())
            .unwrap();
    }
    tags
}

fn text(dir: &Path) -> String {
    let logs = crate::select::logs_of(dir).unwrap();
    logs.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn an_interval_holds_what_was_gained_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = recorder(dir.path());
    let mut engine = Engine::start(START + 500_000_000);
    engine.total.record(1000);
    engine.parse.record(100);
    let observed = engine.show(&mut recorder, START + SECOND_NS).unwrap();
    assert_eq!((observed.line_count, observed.new_files.len()), (3, 1));
    engine.total.record(2000);
    engine.total.record(3000);
    engine.show(&mut recorder, START + 2 * SECOND_NS).unwrap();
    // Nothing at all: the line without a tag says that someone was recording.
    engine.show(&mut recorder, START + 3 * SECOND_NS).unwrap();
    engine.parse.record(7);
    engine.show(&mut recorder, START + 4 * SECOND_NS).unwrap();
    let line = |tag: &str, start, end, count| (tag.to_owned(), start, end, count);
    let expected = [
        line("", 500, 1000, 1),
        line("stage=total", 500, 1000, 1),
        line("stage=parse", 500, 1000, 1),
        line("", 1000, 2000, 2),
        line("stage=total", 1000, 2000, 2),
        line("", 2000, 3000, 0),
        line("", 3000, 4000, 0),
        line("stage=parse", 3000, 4000, 1),
    ];
    assert_eq!(lines(dir.path()), expected);
    let totals = RecorderTotals {
        lines: 8,
        files: 1,
        instances: 1,
        ..RecorderTotals::default()
    };
    assert_eq!(recorder.totals(), totals);
}

#[test]
fn the_history_of_an_older_engine_belongs_to_no_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = recorder(dir.path());
    let mut engine = Engine::start(START - SECOND_NS);
    engine.total.record(1000);
    assert_eq!(
        engine.show(&mut recorder, START + SECOND_NS).unwrap(),
        Observed::default()
    );
    engine.total.record(2000);
    engine.show(&mut recorder, START + 2 * SECOND_NS).unwrap();
    let total = merged(dir.path());
    let total = total.get("stage=total").unwrap();
    assert_eq!((total.len(), total.count_at(2000)), (1, 1));
}

#[test]
fn a_restarted_engine_is_taken_from_zero_in_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = recorder(dir.path());
    let mut first = Engine::start(START);
    for _ in 0..10 {
        first.total.record(1000);
    }
    first.show(&mut recorder, START + SECOND_NS).unwrap();
    let mut second = Engine::start(START + 3 * SECOND_NS / 2);
    for _ in 0..12 {
        second.total.record(1000);
    }
    second.show(&mut recorder, START + 2 * SECOND_NS).unwrap();
    let of_total: Vec<_> = lines(dir.path())
        .into_iter()
        .filter(|line| line.0 == "stage=total")
        .collect();
    let total = "stage=total".to_owned();
    assert_eq!(of_total, [(total.clone(), 0, 1000, 10), (total, 1500, 2000, 12)]);
    let text = text(dir.path());
    assert_eq!(text.matches("# engine engine 1.2.3").count(), 2, "{text}");
    assert_eq!(recorder.totals().instances, 2);
}

#[test]
fn a_series_that_comes_later_begins_with_the_last_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = recorder(dir.path());
    let mut engine = Engine::start(START);
    engine.show(&mut recorder, START + SECOND_NS).unwrap();
    let cold = engine.region.writer("hot-1").unwrap();
    let model = cold.histogram(&catalogue::PREDICTION_LATENCY, &["a, b"]).unwrap();
    let confidence = cold.histogram(&catalogue::PREDICTION_CONFIDENCE, &["a, b"]).unwrap();
    model.record(5000);
    confidence.record(5000);
    engine.show(&mut recorder, START + 2 * SECOND_NS).unwrap();
    let expected = ("prediction_latency:model_name=a%2C%20b".to_owned(), 1000, 2000, 1);
    assert_eq!(
        lines(dir.path()).last(),
        Some(&expected),
        "a confidence is not a latency"
    );
}

#[test]
fn a_clock_that_steps_back_makes_one_longer_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = recorder(dir.path());
    let mut engine = Engine::start(START);
    engine.total.record(1);
    engine.show(&mut recorder, START + 10 * SECOND_NS).unwrap();
    engine.total.record(2);
    assert_eq!(engine.show(&mut recorder, START + 5 * SECOND_NS).unwrap().line_count, 0);
    engine.total.record(3);
    engine.show(&mut recorder, START + 6 * SECOND_NS).unwrap();
    assert_eq!(
        lines(dir.path()).last(),
        Some(&("stage=total".to_owned(), 5000, 6000, 2))
    );
}

#[test]
fn what_could_not_be_written_is_in_the_next_line() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut recorder = recorder(&logs);
    let mut engine = Engine::start(START);
    engine.total.record(1);
    // The directory is gone: no file can be made.
    fs::remove_dir(&logs).unwrap();
    let error = engine.show(&mut recorder, START + SECOND_NS).unwrap_err();
    assert!(matches!(error, RecordError::Write { .. }), "{error}");
    engine.total.record(2);
    fs::create_dir(&logs).unwrap();
    engine.show(&mut recorder, START + 2 * SECOND_NS).unwrap();
    assert_eq!(lines(&logs).last(), Some(&("stage=total".to_owned(), 0, 2000, 2)));
    assert_eq!(recorder.totals().failures, 1);
}

#[test]
fn full_files_are_followed_by_new_ones_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = RecorderOptions::new(dir.path(), START);
    (options.file_bytes_max, options.files_kept) = (2000, 3);
    let mut recorder = Recorder::new(options).unwrap();
    let mut engine = Engine::start(START);
    for second in 1..=100 {
        engine.total.record(second * 1000);
        engine.show(&mut recorder, START + second * SECOND_NS).unwrap();
    }
    let logs = crate::select::logs_of(dir.path()).unwrap();
    assert_eq!(logs.len(), 3);
    assert!(logs.iter().all(|path| fs::metadata(path).unwrap().len() <= 2000));
    assert!(recorder.totals().files > 10);
    // What is left is the end of the run, without a hole.
    let lines: Vec<_> = lines(dir.path())
        .into_iter()
        .filter(|line| line.0 == "stage=total")
        .collect();
    assert!(lines.windows(2).all(|pair| pair[0].2 == pair[1].1));
    assert_eq!(lines.last().unwrap().2, 100_000);
}

#[test]
fn only_the_metrics_that_are_asked_for_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = RecorderOptions::new(dir.path(), START);
    options.metrics = vec!["hft_feature_latency_seconds".to_owned()];
    let mut recorder = Recorder::new(options).unwrap();
    let mut engine = Engine::start(START);
    let thread = engine.region.writer("hot-1").unwrap();
    thread.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap().record(9);
    engine.total.record(1);
    engine.show(&mut recorder, START + SECOND_NS).unwrap();
    assert_eq!(lines(dir.path()), [("feature_latency".to_owned(), 0, 1000, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is recorded when, the intervals together are the region's own histogram, bucket by bucket.
    #[test]
    fn the_intervals_add_up_to_the_region(
        intervals in prop::collection::vec(prop::collection::vec(0u64..1 << 37, 0..40), 1..12),
        broken in prop::collection::vec(any::<bool>(), 12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (logs, away) = (dir.path().join("logs"), dir.path().join("away"));
        let mut options = RecorderOptions::new(&logs, START);
        options.file_bytes_max = 1500;
        options.files_kept = 1000;
        let mut recorder = Recorder::new(options).unwrap();
        let mut engine = Engine::start(START);
        for (second, values) in intervals.iter().enumerate() {
            for value in values {
                engine.total.record(*value);
            }
            // A directory that is away for a while: a file that is open is written on, no new one can be made.
            let is_broken = broken[second];
            if is_broken {
                fs::rename(&logs, &away).unwrap();
            }
            let shown = engine.show(&mut recorder, START + (second as u64 + 1) * SECOND_NS);
            prop_assert!(shown.is_ok() || is_broken);
            if is_broken {
                fs::rename(&away, &logs).unwrap();
            }
        }
        engine.show(&mut recorder, START + 100 * SECOND_NS).unwrap();
        let snapshot = engine.reader.snapshot().unwrap();
        let region = snapshot.histogram("hft_stage_latency_seconds", &[("stage", "total")]).unwrap();
        let tags = merged(&logs);
        let read = tags.get("stage=total");
        prop_assert_eq!(read.map_or(0, |read| read.len()), region.count());
        for (value, count) in region.buckets() {
            prop_assert_eq!(read.unwrap().count_at(value), count);
        }
        for percentile in [0.0, 50.0, 99.0, 99.9, 100.0] {
            // The region knows its largest value exactly, a log to its bucket.
            let of_log = read.map_or(0, |read| read.value_at_percentile(percentile));
            let of_region = region.value_at_percentile(percentile);
            let shape = region.shape();
            prop_assert_eq!(shape.index(of_log.min(shape.highest_value())), shape.index(of_region));
        }
    }
}
