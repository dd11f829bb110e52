//! The terminal: taken over, given back whatever happens, and the loop between.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::app::{App, Next};
use crate::Error;
use crate::session::Now;

/// Why the screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By a key or a signal.
    Asked,
    /// Its time was up.
    Clock,
}

/// Runs the app until it, a signal or the clock says that it is over.
pub(super) fn run(app: &mut App, most: Option<Duration>) -> Result<End, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let resumed = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Error::Terminal)?;
    }
    signal_hook::flag::register(SIGCONT, Arc::clone(&resumed)).map_err(Error::Terminal)?;
    give_back_on_panic();
    let taken = Taken::take().map_err(Error::Terminal)?;
    let done = show(app, &stop, &resumed, most);
    drop(taken);
    done.map_err(Error::Terminal)
}

fn show(app: &mut App, stop: &AtomicBool, resumed: &AtomicBool, most: Option<Duration>) -> io::Result<End> {
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let started = Instant::now();
    let mut drawn: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        if resumed.swap(false, Ordering::Relaxed) {
            // Stopped from outside and continued: whoever had the terminal meanwhile left it as he liked.
            take_back(&mut terminal)?;
            drawn = None;
        }
        let now = Now::read();
        if app.is_due(now) {
            app.look(now);
            drawn = None;
        }
        if drawn.is_none_or(|drawn| now.instant - drawn >= AGES_GROW_EVERY) {
            terminal.draw(|frame| app.draw(frame, now))?;
            drawn = Some(now.instant);
        }
        let mut wait = app.due_in(Now::read());
        if let Some(most) = most {
            let left = most.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(End::Clock);
            }
            wait = wait.min(left);
        }
        // Not longer, for the signals are only seen here. Waiting costs the engine nothing: only a look does.
        if !event::poll(wait.min(SIGNALS_SEEN_WITHIN))? {
            continue;
        }
        drawn = None;
        // All that has been typed is answered by one drawing, or a held key would be drawn for seconds after.
        let mut next = Next::Go;
        for _ in 0..EVENTS_AT_ONCE {
            match event::read()? {
                Event::Key(key) => next = app.key(key, Now::read()),
                Event::Resize(..) => {}
                _ => {}
            }
            if next != Next::Go || !event::poll(Duration::ZERO)? {
                break;
            }
        }
        match next {
            Next::Go => {}
            Next::Quit => break,
            Next::Redraw => draw_afresh(&mut terminal)?,
            Next::Suspend => {
                give_back();
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
                resumed.store(false, Ordering::Relaxed);
                take_back(&mut terminal)?;
            }
        }
    }
    Ok(End::Asked)
}

const SIGNALS_SEEN_WITHIN: Duration = Duration::from_millis(100);
const AGES_GROW_EVERY: Duration = Duration::from_millis(500);
const EVENTS_AT_ONCE: usize = 64;

/// Whether the terminal is ours at the moment, so that it is given back once.
static OURS: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
struct Taken;

impl Taken {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        OURS.store(true, Ordering::SeqCst);
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // There is nobody left to tell: the terminal itself is what fails here.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}

fn take_back(terminal: &mut Terminal<CrosstermBackend<Stdout>>) -> io::Result<()> {
    // The library remembers raw mode as still on when only a signal interrupted it.
    disable_raw_mode()?;
    enable_raw_mode()?;
    OURS.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, Hide)?;
    draw_afresh(terminal)
}

/// Not `Terminal::clear`: that asks the terminal where its cursor is, and fails where the answer is slow to come.
fn draw_afresh(terminal: &mut Terminal<CrosstermBackend<Stdout>>) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(size.into())
}

/// Before the message of a panic, so that it can be read, and before the abort that follows it in a release build.
fn give_back_on_panic() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        previous(panic);
    }));
}
