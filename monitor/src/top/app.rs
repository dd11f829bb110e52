//! What is on the screen and what each key does to it. Knows no terminal: keys and looks come in, frames go out.

use std::sync::Arc;
use std::time::Duration;

use quantumflow_region::Event;
use ratatui::crossterm::event::KeyEvent;

use super::keys::{self, Action};
use super::pages::Pane;
use super::source::Source;
use super::theme::Theme;
use crate::engines::{self, Engine};
use crate::region::events_in_order;
use crate::session::{Now, Session};
use crate::{Error, text};

/// The monitor.
pub(super) struct App {
    pub(super) source: Source,
    pub(super) session: Session,
    pub(super) theme: Theme,
    pub(super) pane: Pane,
    /// Row and scroll of each pane.
    pub(super) places: [Place; Pane::ALL.len()],
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) hides_zeros: bool,
    pub(super) paused: Option<Now>,
    pub(super) shows_help: bool,
    pub(super) picker: Option<Picker>,
    /// Threads and their last events in the order of time, as of the last look at them.
    pub(super) events: Vec<(Arc<str>, Event)>,
    pub(super) has_recorder: bool,
    /// One line about what just happened.
    pub(super) notice: Option<String>,
    speed: usize,
    looked: Now,
}

/// Where the user is in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) scroll: usize,
    /// Rows that there were, and that fitted, when it was drawn.
    pub(super) count: usize,
    pub(super) height: usize,
}

/// The list of engines, open.
pub(super) struct Picker {
    pub(super) engines: Result<Vec<Engine>, Error>,
    pub(super) place: Place,
    listed: Now,
}

/// What the loop has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Quit,
    Redraw,
    Suspend,
}

/// Between two looks. Each makes the engine's cores fetch back the lines that were read: ten a second are plenty.
const INTERVALS_MS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Listing opens every file of the directory.
const LIST_AGAIN_AFTER: Duration = Duration::from_secs(1);
const FILTER_CHARS_MAX: usize = 100;

impl App {
    pub(super) fn new(source: Source, session: Session) -> Self {
        let looked = session.latest().at;
        Self {
            source,
            session,
            theme: Theme::from_env(),
            pane: Pane::Overview,
            places: Default::default(),
            filter: String::new(),
            is_typing: false,
            hides_zeros: false,
            paused: None,
            shows_help: false,
            picker: None,
            events: Vec::new(),
            has_recorder: false,
            notice: None,
            speed: 3,
            looked,
        }
    }

    /// Time between two looks.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(INTERVALS_MS[self.speed])
    }

    pub(super) fn is_due(&self, now: Now) -> bool {
        self.due_in(now).is_zero()
    }

    /// Time until the next look.
    pub(super) fn due_in(&self, now: Now) -> Duration {
        self.interval()
            .saturating_sub(now.instant.saturating_duration_since(self.looked.instant))
    }

    /// Takes a look. While paused only the engine's state is asked: that is never shown as it was.
    pub(super) fn look(&mut self, now: Now) {
        self.looked = now;
        if let Some(picker) = &mut self.picker
            && now.instant.saturating_duration_since(picker.listed.instant) >= LIST_AGAIN_AFTER
        {
            (picker.engines, picker.listed) = (engines::list(self.source.dir()), now);
        }
        if self.paused.is_some() {
            // An error is kept as the session's condition, and shown as that.
            let _ = self.session.look_at_condition(now);
            return;
        }
        if let Some(next) = self.source.successor(&self.session, now) {
            self.watch(next);
            return;
        }
        let _ = self.session.look(now);
        self.read_events();
    }

    /// Only while they are looked at: the engine's texts are copied with them.
    fn read_events(&mut self) {
        if self.pane != Pane::Events || self.paused.is_some() {
            return;
        }
        match self.session.events() {
            Ok(threads) => {
                self.has_recorder = !threads.is_empty();
                let events = events_in_order(&threads);
                self.events = events
                    .into_iter()
                    .map(|(writer, event)| (Arc::clone(writer), event.clone()))
                    .collect();
            }
            Err(error) => self.notice = Some(text::in_words(&error)),
        }
    }

    fn watch(&mut self, next: Session) {
        self.notice = Some(format!(
            "now watching pid {} ({})",
            next.info().pid,
            next.path().display()
        ));
        self.session = next;
        self.paused = None;
        self.events.clear();
        self.read_events();
    }

    /// Does what the key asks for.
    pub(super) fn key(&mut self, key: KeyEvent, now: Now) -> Next {
        let Some(action) = keys::action(key, self.is_typing) else {
            return Next::Go;
        };
        self.notice = None;
        match action {
            Action::Quit => return Next::Quit,
            Action::Suspend => return Next::Suspend,
            Action::Redraw => return Next::Redraw,
            Action::Cancel => self.cancel(),
            Action::Accept => self.accept(now),
            Action::Help => self.shows_help = !self.shows_help,
            Action::Engines if self.picker.is_some() => self.picker = None,
            Action::Engines => {
                self.picker = Some(Picker {
                    engines: engines::list(self.source.dir()),
                    place: Place::default(),
                    listed: now,
                });
            }
            Action::Pane(index) => {
                if let Some(pane) = Pane::ALL.get(index) {
                    self.show(*pane);
                }
            }
            Action::NextPane => self.show(self.pane.step(1)),
            Action::PreviousPane => self.show(self.pane.step(Pane::ALL.len() - 1)),
            Action::Filter => {
                // What is looked for from the first pane, whose lines are few, is a series.
                let pane = if self.pane == Pane::Overview {
                    Pane::Metrics
                } else {
                    self.pane
                };
                self.show(pane);
                self.is_typing = true;
            }
            Action::Type(c) if self.filter.chars().count() < FILTER_CHARS_MAX && !c.is_control() => self.filter.push(c),
            Action::Type(_) => {}
            Action::Erase => {
                self.filter.pop();
            }
            Action::EraseAll => self.filter.clear(),
            Action::HideZeros => self.hides_zeros = !self.hides_zeros,
            Action::Pause => {
                self.paused = if self.paused.is_some() {
                    None
                } else {
                    Some(self.session.latest().at)
                }
            }
            Action::Faster => self.speed = self.speed.saturating_sub(1),
            Action::Slower => self.speed = (self.speed + 1).min(INTERVALS_MS.len() - 1),
            movement => self.place().go(movement),
        }
        Next::Go
    }

    /// Whether the filter lets this text through, capitals or not.
    pub(super) fn passes(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.shows_help = false;
        self.picker = None;
        self.read_events();
    }

    /// Where the user is in what is open.
    pub(super) fn place(&mut self) -> &mut Place {
        match &mut self.picker {
            Some(picker) => &mut picker.place,
            None => &mut self.places[self.pane as usize],
        }
    }

    fn cancel(&mut self) {
        if self.shows_help {
            self.shows_help = false;
        } else if self.picker.is_some() {
            self.picker = None;
        } else {
            self.is_typing = false;
            self.filter.clear();
        }
    }

    fn accept(&mut self, now: Now) {
        if self.is_typing {
            self.is_typing = false;
            return;
        }
        let Some(picker) = self.picker.take() else { return };
        let chosen = picker
            .engines
            .as_ref()
            .ok()
            .and_then(|engines| engines.get(picker.place.row));
        let Some(engine) = chosen else { return };
        match Session::open(&engine.entry.path, now) {
            Ok(session) => {
                self.source.pin(engine.entry.path.clone());
                self.watch(session);
            }
            Err(error) => self.notice = Some(text::in_words(&error)),
        }
    }
}

impl Place {
    fn go(&mut self, action: Action) {
        let last = self.count.saturating_sub(1);
        let page = self.height.max(1);
        self.row = match action {
            Action::Up => self.row.saturating_sub(1),
            Action::Down => self.row + 1,
            Action::PageUp => self.row.saturating_sub(page),
            Action::PageDown => self.row + page,
            Action::First => 0,
            Action::Last => last,
            _ => self.row,
        }
        .min(last);
    }

    /// Takes in how many rows there are and fit, and keeps the chosen one in sight.
    pub(super) fn fit(&mut self, count: usize, height: usize) {
        (self.count, self.height) = (count, height);
        self.row = self.row.min(count.saturating_sub(1));
        let least = (self.row + 1).saturating_sub(height);
        self.scroll = self
            .scroll
            .clamp(least, self.row.max(least))
            .min(count.saturating_sub(height).max(least));
    }
}
