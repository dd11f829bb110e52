//! Frames as text: what a person sees, at sizes that people have.

use std::time::Duration;

use quantumflow_region::{Metric, RegionWriter, Unit};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Next;
use super::*;
use crate::common::{Engine, START, options, shm};
use crate::session::Condition;

/// The app over a region, with clocks of its own, so that minutes pass at once.
struct Screen {
    app: App,
    terminal: Terminal<TestBackend>,
    now: Now,
}

impl Screen {
    fn of(path: &std::path::Path, (width, height): (u16, u16)) -> Self {
        let now = Now {
            instant: std::time::Instant::now(),
            unix_ns: START,
        };
        let args = Args {
            region_dir: path.parent().unwrap().to_path_buf(),
            region: None,
            once: false,
            json: false,
            plain: false,
            seconds: None,
        };
        let mut app = App::new(Source::new(&args), Session::open(path, now).unwrap());
        app.theme = theme::Theme::plain();
        Self {
            app,
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
            now,
        }
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now.instant += time;
        self.now.unix_ns += time.as_nanos() as u64;
        self
    }

    /// A second later, a look.
    fn look(&mut self) -> &mut Self {
        self.pass(Duration::from_secs(1));
        self.app.look(self.now);
        self
    }

    fn keys(&mut self, keys: &str) -> &mut Self {
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '\u{1b}' => KeyCode::Esc,
                '↓' => KeyCode::Down,
                '⇟' => KeyCode::PageDown,
                c => KeyCode::Char(c),
            };
            assert_eq!(
                self.app.key(KeyEvent::new(code, KeyModifiers::NONE), self.now),
                Next::Go
            );
        }
        self
    }

    fn text(&mut self) -> String {
        let now = self.now;
        self.terminal.draw(|frame| self.app.draw(frame, now)).unwrap();
        let buffer = self.terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(buffer.area.width));
        let line = |row: &[ratatui::buffer::Cell]| {
            row.iter()
                .map(ratatui::buffer::Cell::symbol)
                .collect::<String>()
                .trim_end()
                .to_owned()
        };
        rows.map(line).collect::<Vec<_>>().join("\n")
    }
}

const SIZES: [(u16, u16); 9] = [
    (u16::MAX, 2),
    (80, 24),
    (120, 40),
    (20, 5),
    (200, 3),
    (7, 30),
    (1, 1),
    (2, 2),
    (80, 1),
];

/// Without the line ends that a narrow screen puts between words.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is different from run to run, made equal.
fn steady(text: &str) -> String {
    text.replace(&format!("pid {}", std::process::id()), "pid PID")
}

fn after_four_seconds(size: (u16, u16)) -> (tempfile::TempDir, Engine, Screen) {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    let mut screen = Screen::of(&engine.path(), size);
    for second in 0..4 {
        engine.work();
        if second == 3 {
            engine.gap();
        }
        screen.look();
    }
    (dir, engine, screen)
}

#[test]
fn the_overview_shows_flows_trouble_and_threads() {
    let (_dir, _engine, mut screen) = after_four_seconds((80, 24));
    let expected = " LIVE  up 4 s  engine 0.1.0 pid PID  every 1 s
 1 Overview  2 Stages  3 Books  4 Models  5 Metrics  6 Events
                                                total    now/s     10 s    100 s
messages                                        4,000     1000     1000     1000
bytes                                               -        -        -        -
book updates                                    3,600      900      900      900
trades                                              -        -        -        -
features                                            -        -        -        -
predictions                                        40       10       10       10
signals                                             -        -        -        -
trouble
sequence gaps                                       1        1     0.25     0.25
thread              tid  cpu    rounds    now/s place
hot-0                 0    -         4        1 between rounds
housekeeping          0    -         4        1 between rounds







hft_feed_messages_total: WebSocket messages that were received.
q quit  ? help  TAB pane  / filter  p pause  e engines  2023-11-14T22:13:24Z";
    assert_eq!(steady(&screen.text()), expected);
}

#[test]
fn the_smallest_terminal_still_says_how_the_engine_is_and_what_it_does() {
    let (_dir, _engine, mut screen) = after_four_seconds((20, 5));
    let expected = " LIVE  up 4 s  engin
               now/s
messages        1000
bytes              -
q quit  ? help  TAB";
    assert_eq!(screen.text(), expected);
}

#[test]
fn stages_show_the_last_interval_beside_the_run_and_what_moved() {
    let (_dir, engine, mut screen) = after_four_seconds((120, 40));
    for _ in 0..200 {
        engine.parse.record(90_000);
    }
    let text = screen.look().keys("2").text();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(&line("stage")).join(" "),
        "stage now/s p50 p99 p99.9 max x run | run p50 run p99 r p99.9 run max"
    );
    // 600 records in the run, 200 of them now: every percentile of the interval is the new value's, and of the run p99.
    assert_eq!(
        words(&line("parse ")).join(" "),
        "parse 200 90.0us 90.0us 90.0us 90.0us x1 | 475ns 90.0us 90.0us 90.0us"
    );
    assert_eq!(
        words(&line("total ")).join(" "),
        "total 0 - - - - - | 4.51us 4.99us 4.99us 4.99us",
        "idle: no interval"
    );
    assert!(
        text.contains("Time that a message spent in one stage"),
        "help of the chosen row"
    );
}

#[test]
fn a_stage_that_moved_is_told_by_how_much() {
    let dir = shm();
    let engine = Engine::start(dir.path());
    let mut screen = Screen::of(&engine.path(), (120, 40));
    (0..100_000).for_each(|_| engine.parse.record(500));
    screen.look();
    (0..100).for_each(|_| engine.parse.record(5_000));
    let text = screen.look().keys("2").text();
    assert!(
        text.lines()
            .any(|line| line.starts_with("parse") && line.contains(" x9.98 ")),
        "{text}"
    );
}

#[test]
fn books_show_quality_prices_and_what_went_wrong() {
    let (_dir, _engine, mut screen) = after_four_seconds((120, 40));
    let text = screen.keys("3").text();
    let row: Vec<&str> = text
        .lines()
        .find(|line| line.contains("BTCUSDT "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        [
            "binance", "BTCUSDT", "verified", "50000.25", "50000.5", "0.25", "800", "900", "1", "-", "-"
        ]
    );
    let row: Vec<&str> = text
        .lines()
        .find(|line| line.contains("ok "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(row, ["binance", "ok", "1000", "-", "0", "s", "-", "-", "-"]);
}

#[test]
fn models_show_classes_confidence_and_what_is_missing() {
    let (_dir, _engine, mut screen) = after_four_seconds((80, 24));
    let text = screen.keys("4").text();
    assert!(text.contains("  flat 70.0%") && text.contains("  up 30.0%"), "{text}");
    assert!(
        text.contains("confidence: now p50 0.612 p99 0.612 | run p50 0.612 p99 0.612"),
        "{text}"
    );
    assert!(text.contains("latency: -"), "not registered is not zero");
}

#[test]
fn metrics_are_found_by_typing_and_zeros_hide() {
    let (_dir, _engine, mut screen) = after_four_seconds((120, 40));
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("hft_")).count();
    // The chosen row's help begins like a row.
    assert_eq!(rows(&screen.keys("5").text()), 18);
    let text = screen.keys("/GAPS").text();
    assert_eq!(rows(&text), 2, "{text}");
    assert!(text.ends_with("/GAPS_"));
    assert!(
        flat(&text).contains("Times that the exchange's sequence skipped an update."),
        "the region's own help"
    );
    let text = screen.keys("\nz").text();
    assert!(
        text.contains("filter \"GAPS\" (Esc drops it)  zeros hidden (z)"),
        "{text}"
    );
    assert_eq!(
        rows(&screen.keys("\u{1b}").text()),
        18,
        "every series has counted something"
    );
    let text = screen.keys("/nothing like it").text();
    assert_eq!(rows(&text), 0);
}

#[test]
fn events_are_told_in_words_the_newest_first() {
    let (_dir, _engine, mut screen) = after_four_seconds((120, 40));
    let text = screen.keys("6").text();
    assert!(
        text.contains(
            "2023-11-14T22:13:21.5Z             2 s hot-0      sequence_gap binance/BTCUSDT expected_id=42 got_id=44"
        ),
        "{text}"
    );
    assert!(text.contains("The venue skipped update ids of a book."), "{text}");
}

#[test]
fn an_engine_that_ended_cannot_be_taken_for_a_living_one() {
    for (end, name, why) in [
        (0, "CLOSED", "it ended in order with exit code 3"),
        (1, "PANICKED", "panic: the book is on fire"),
    ] {
        let (_dir, engine, mut screen) = after_four_seconds((100, 24));
        match end {
            0 => engine.region.close(3),
            _ => {
                engine.region.live().record_panic(&"the book is on fire\nat book.rs:1");
            }
        }
        screen.pass(Duration::from_secs(60)).look();
        for pane in ["1", "3", "5"] {
            let text = screen.keys(pane).text();
            assert!(text.starts_with(&format!(" {name} ")), "{text}");
            assert!(
                flat(&text).contains(&format!("OLD NUMBERS: last heartbeat 1m01s ago; {why}")),
                "{text}"
            );
            assert!(!text.contains(" 1000 "), "no rate of the dead: {text}");
        }
        let text = screen.keys("3").text();
        assert!(text.contains("(verified)") && !text.contains(" ok "), "{text}");
        assert!(screen.keys("1").text().contains("4,000"), "the last totals stay");
        assert!(screen.text().contains("ended between rounds"));
    }
}

#[test]
fn what_stands_still_is_called_stalled_and_a_hanging_thread_by_name() {
    let (_dir, mut engine, mut screen) = after_four_seconds((80, 24));
    engine.hot.loop_begin();
    engine.hot.breadcrumb(7);
    screen.look();
    for beat in 0..4 {
        engine.region.live().heartbeat(START + beat, beat + 100);
        screen.look();
    }
    assert!(!screen.text().contains("STUCK"), "four seconds are not too long");
    engine.region.live().heartbeat(START, 0);
    let text = screen.look().text();
    assert!(text.starts_with(" LIVE "), "housekeeping beats: {text}");
    assert!(text.contains("STUCK INSIDE A ROUND: hot-0 for 5 s"), "{text}");
    assert!(text.contains("STUCK 5 s in round 5, place 7"), "{text}");
    let text = screen.pass(Duration::from_secs(5)).look().text();
    assert!(text.starts_with(" STALLED "), "{text}");
    assert!(flat(&text).contains("nothing in it has moved for 6 s"), "{text}");
    engine.hot.loop_end();
    let text = screen.look().text();
    assert!(
        text.starts_with(" LIVE ") && !text.contains("STUCK"),
        "it moves again: {text}"
    );
}

#[test]
fn a_file_that_was_cut_is_unreadable_with_a_reason() {
    let (_dir, engine, mut screen) = after_four_seconds((80, 24));
    let file = std::fs::OpenOptions::new().write(true).open(engine.path()).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(64).unwrap();
    let text = screen.look().text();
    // Zeros where the engine was, because this process still writes to these pages when it is dropped.
    file.set_len(len).unwrap();
    assert!(text.starts_with(" UNREADABLE "), "{text}");
    assert!(
        flat(&text).contains("was cut from 1048576 to 64 bytes while it was mapped"),
        "{text}"
    );
    assert!(!text.contains(" 1000 "), "no rates: {text}");
}

#[test]
fn a_pause_freezes_numbers_but_not_the_engines_state() {
    let (_dir, mut engine, mut screen) = after_four_seconds((80, 24));
    screen.keys("p");
    engine.work();
    let text = screen.look().text();
    assert!(
        text.contains("PAUSED: numbers of 2023-11-14T22:13:24Z") && text.contains(" 4,000 "),
        "{text}"
    );
    engine.region.live().record_panic(&"ouch");
    let text = screen.look().text();
    assert!(text.starts_with(" PANICKED ") && text.contains(" 4,000 "), "{text}");
}

#[test]
fn the_next_engine_is_followed_unless_one_was_chosen() {
    let (dir, engine, mut screen) = after_four_seconds((80, 24));
    let second = Engine::start_at(dir.path(), START + 5_000_000_000);
    assert!(screen.look().text().contains(" 4,000 "), "the first still lives");
    engine.region.close(0);
    screen.look();
    let text = screen.look().text();
    assert!(text.contains("now watching pid"), "{text}");
    assert_eq!(screen.app.session.path(), second.path());
    // The list: the newest first, so the second row is the one that has ended.
    let text = screen.keys("e").text();
    assert!(text.contains("* live ") && text.contains("  closed "), "{text}");
    screen.keys("↓\n").look().look();
    assert!(
        matches!(screen.app.session.condition(), Condition::Closed(Some(0))),
        "chosen by hand: it is not left"
    );
}

#[test]
fn no_size_and_no_pane_panics_with_or_without_series() {
    let dir = shm();
    let empty = RegionWriter::create(dir.path(), &options(START)).unwrap();
    let full = Engine::start_at(dir.path(), START + 1);
    for path in [empty.path().unwrap().to_path_buf(), full.path()] {
        for size in SIZES {
            let mut screen = Screen::of(&path, size);
            for keys in ["1", "2", "3", "4", "5", "6", "G⇟", "e", "?", "/x", "\n", "\u{1b}"] {
                let text = screen.look().keys(keys).text();
                assert!(text.lines().count() <= usize::from(size.1));
            }
        }
    }
}

static HOSTILE: Metric = Metric::counter("hft_hostile_total")
    .labels(&["exchange", "symbol"])
    .unit(Unit::None, 0)
    .help("Hostile labels.");

#[test]
fn hostile_labels_neither_break_the_table_nor_reach_the_terminal() {
    let dir = shm();
    let engine = Engine::start(dir.path());
    let long = "比特币".repeat(100);
    // Writers and readers refuse control characters; what they let through can still turn or hide text.
    for symbol in ["\u{202e}DSUCTB\u{2066}", "a\u{200b}b\u{feff}", &long, "{}\"\\"] {
        engine.hot.counter(&HOSTILE, &["binance", symbol]).unwrap().inc();
    }
    for size in SIZES {
        let mut screen = Screen::of(&engine.path(), size);
        let text = screen.look().keys("5/hostile").text();
        let is_bad =
            |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{200b}' | '\u{202e}' | '\u{2066}' | '\u{feff}'));
        assert!(!text.contains(is_bad), "{text:?}");
        if size == (120, 40) {
            assert!(
                text.contains("symbol=\"{}\\\"\\\\\"") && text.contains("symbol=\"a\u{FFFD}b\u{FFFD}\""),
                "{text}"
            );
        }
    }
}

#[test]
fn looks_come_at_most_ten_times_a_second() {
    let (_dir, _engine, mut screen) = after_four_seconds((80, 24));
    assert_eq!(screen.keys("+++++++++++").app.interval(), Duration::from_millis(100));
    assert_eq!(screen.keys("---------------").app.interval(), Duration::from_secs(10));
    assert!(!screen.app.is_due(screen.now));
    screen.pass(Duration::from_secs(10));
    assert!(screen.app.is_due(screen.now));
}
