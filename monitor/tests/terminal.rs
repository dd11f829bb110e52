//! The monitor in a terminal of its own: what it draws, how it answers, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Engine, shm};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

fn example(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().unwrap().parent().unwrap().join("examples").join(name)
}

/// A terminal with the monitor in it.
struct Terminal {
    child: Child,
    keyboard: File,
    slave: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Everything that was written, for what a screen does not keep.
    bytes: Vec<u8>,
    /// The terminal's modes before the monitor came.
    before: Termios,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Terminal {
    fn start(size: (u16, u16), args: &[&str], env: &[(&str, &str)]) -> Self {
        let (cols, rows) = size;
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let io = || Stdio::from(pty.slave.try_clone().unwrap());
        // `setsid --ctty` makes it the program's controlling terminal, as a login does: without one, a change of its size
        // is told to nobody.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(example("top"))
            .args(args)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(io())
            .stdout(io())
            .stderr(io())
            .spawn()
            .unwrap();
        let keyboard = File::from(pty.master);
        let mut from = keyboard.try_clone().unwrap();
        let (to, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if to.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(rows, cols, 0);
        Self {
            child,
            keyboard,
            slave: pty.slave,
            output,
            screen,
            bytes: Vec::new(),
            before,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn take(&mut self, wait: Duration) {
        if let Ok(bytes) = self.output.recv_timeout(wait) {
            self.screen.process(&bytes);
            self.bytes.extend(bytes);
        }
    }

    /// The screen as soon as it has what is wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.screen.screen().contents();
            if wanted(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {what} on the screen:\n{text}");
            self.take(Duration::from_millis(50));
        }
    }

    fn shows(&mut self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn resize(&mut self, (cols, rows): (u16, u16)) {
        self.screen.screen_mut().set_size(rows, cols);
        let (cols, rows) = (cols.to_string(), rows.to_string());
        let stdin = Stdio::from(self.slave.try_clone().unwrap());
        let set = Command::new("stty")
            .args(["cols", &cols, "rows", &rows])
            .stdin(stdin)
            .status();
        assert!(set.unwrap().success());
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for its end and looks at what it left behind.
    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            self.take(Duration::from_millis(20));
        };
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            self.screen.process(&bytes);
            self.bytes.extend(bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the normal screen is back");
        assert!(!screen.hide_cursor(), "the cursor is back");
        let now = tcgetattr(&self.slave).unwrap();
        let modes = |modes: &Termios| (modes.input_flags, modes.output_flags, modes.local_flags);
        assert_eq!(modes(&now), modes(&self.before), "the terminal's modes are back");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watching(dir: &Path, size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::start(size, &["--region-dir", dir.to_str().unwrap()], &[]);
    terminal.shows("1 Overview");
    terminal
}

#[test]
fn a_session_from_start_to_quit() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    engine.gap();
    let mut terminal = watching(dir.path(), (80, 24));
    assert!(terminal.screen.screen().alternate_screen());
    let text = terminal.shows("1,000");
    assert!(text.starts_with(" LIVE "), "{text}");

    terminal.press("++++");
    terminal.shows("every 0.1 s");
    engine.work();
    terminal.shows("2,000");

    terminal.press("\t");
    terminal.shows("run p99");
    terminal.press("3");
    terminal.shows("50000.25");
    terminal.press("6");
    terminal.shows("sequence_gap binance/BTCUSDT expected_id=42 got_id=44");

    terminal.press("5/predictions\r");
    let text = terminal.until("only predictions", |text| {
        !text.contains("hft_feed") && text.contains("{mlp_v1,up}")
    });
    assert!(text.contains("filter \"predictions\""), "{text}");
    terminal.press("\x1b[B");
    terminal.shows("prediction_class=\"flat\"} (counter):");

    terminal.press("p");
    terminal.shows("PAUSED");
    terminal.press(" ");
    terminal.until("no pause", |text| !text.contains("PAUSED"));

    terminal.resize((120, 40));
    terminal.until("the width", |text| text.contains(".met") && text.lines().count() >= 40);
    terminal.resize((20, 5));
    terminal.until("the small screen", |text| {
        text.starts_with(" LIVE ") && text.lines().count() <= 5
    });
    terminal.resize((80, 24));
    terminal.shows("2 Stages");
    terminal.press("?");
    terminal.shows("Ctrl-C");

    terminal.press("q");
    assert!(terminal.ended().success());
    drop(engine);
}

#[test]
fn ctrl_c_and_signals_give_the_terminal_back() {
    let dir = shm();
    let _engine = Engine::start(dir.path());
    let ends: [&dyn Fn(&mut Terminal); 4] = [
        &|terminal| terminal.press("\x03"),
        &|terminal| terminal.signal(Signal::SIGTERM),
        &|terminal| terminal.signal(Signal::SIGINT),
        &|terminal| terminal.signal(Signal::SIGHUP),
    ];
    for end in ends {
        let mut terminal = watching(dir.path(), (80, 24));
        end(&mut terminal);
        assert!(terminal.ended().success());
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_its_message_can_be_read() {
    let dir = shm();
    let _engine = Engine::start(dir.path());
    let args = ["--region-dir", dir.path().to_str().unwrap()];
    let mut terminal = Terminal::start(
        (80, 24),
        &args,
        &[("QUANTUMFLOW_TEST_PANIC", "1"), ("RUST_BACKTRACE", "0")],
    );
    terminal.shows("1 Overview");
    assert!(!terminal.ended().success());
    assert!(terminal.screen.screen().contents().contains("a bug"));
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_is_continued() {
    let dir = shm();
    let _engine = Engine::start(dir.path());
    let mut terminal = watching(dir.path(), (80, 24));
    let leaves = b"\x1b[?1049l";
    terminal.press("\x1a");
    let deadline = Instant::now() + PATIENCE;
    while !terminal.bytes.windows(leaves.len()).any(|bytes| bytes == leaves) {
        assert!(Instant::now() < deadline, "the normal screen never came back");
        terminal.take(Duration::from_millis(20));
    }
    // A login's first process is not stopped, for nobody could continue it; one behind a shell is.
    terminal.signal(Signal::SIGCONT);
    terminal.until("the monitor again", |text| text.starts_with(" LIVE "));
    assert!(terminal.screen.screen().alternate_screen());
    terminal.press("q");
    assert!(terminal.ended().success());
}

#[test]
fn it_ends_by_the_clock_and_draws_without_colours_if_asked() {
    let dir = shm();
    let _engine = Engine::start(dir.path());
    let args = ["--region-dir", dir.path().to_str().unwrap(), "--seconds", "1"];
    let coloured = |env: &[(&str, &str)]| {
        let mut terminal = Terminal::start((80, 24), &args, env);
        assert!(terminal.ended().success());
        let text = String::from_utf8_lossy(&terminal.bytes).into_owned();
        assert!(text.contains("LIVE"), "{text:?}");
        text.contains("\x1b[38;") || (30..38).any(|colour| text.contains(&format!("\x1b[{colour}m")))
    };
    assert!(coloured(&[]));
    assert!(!coloured(&[("NO_COLOR", "1")]));
}

#[test]
fn a_terminal_that_can_do_nothing_gets_the_table() {
    let dir = shm();
    let mut engine = Engine::start(dir.path());
    engine.work();
    let args = ["--region-dir", dir.path().to_str().unwrap(), "--seconds", "2"];
    let mut terminal = Terminal::start((120, 40), &args, &[("TERM", "dumb")]);
    terminal.shows("messages/s");
    assert!(!terminal.screen.screen().alternate_screen());
    assert!(terminal.ended().success());
}
