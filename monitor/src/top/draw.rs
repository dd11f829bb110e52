//! One frame: the engine and its state, the panes' names, the chosen pane, its row's help, the keys.
//!
//! Every part gives way when the terminal is small; the state of the engine goes last.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::app::{App, Place};
use super::keys;
use super::pages::{self, Page, Pane, Row};
use super::table::cut;
use crate::session::{Condition, Now};
use crate::text::{age, clean, rfc3339_seconds};

impl App {
    /// Draws everything. Changes only where lists are scrolled to.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, now: Now) {
        let mut place = *self.place();
        if !frame.area().is_empty() {
            self.draw_at(&mut place, frame, now);
        }
        *self.place() = place;
    }

    fn draw_at(&self, place: &mut Place, frame: &mut Frame<'_>, now: Now) {
        let area = frame.area();
        let mut rest = Rows(area);
        rest.line(frame, self.headline(area.width));
        if let Some((alarm, style)) = self.alarm(now) {
            // Whole, where whole is possible: a cut reason is no reason.
            let lines = if rest.height() >= TALL { ALARM_LINES_MAX } else { 1 };
            for line in wrapped(&alarm, area.width, lines) {
                rest.line(frame, Line::styled(line, style));
            }
        }
        let tabs = (rest.height() > 4).then(|| rest.head());
        if rest.height() > 2 {
            let foot = rest.foot();
            frame.render_widget(self.footer(now), foot);
        }
        let page = self.page(now, rest.0.width);
        self.draw_page(place, frame, rest.0, &page);
        if let Some(tabs) = tabs {
            frame.render_widget(self.tabs(*place, area.width), tabs);
        }
        if self.shows_help {
            self.draw_help(frame, area);
        }
    }

    fn page(&self, now: Now, width: u16) -> Page<'_> {
        match &self.picker {
            Some(picker) => pages::engines::page(picker, &self.session, self.theme, width),
            None => self.pane.page(self, now, width),
        }
    }

    /// Who is watched and how it is.
    fn headline(&self, width: u16) -> Line<'static> {
        let (info, condition) = (self.session.info(), self.session.condition());
        let style = match condition {
            Condition::Live => self.theme.good(),
            Condition::Draining => self.theme.warn(),
            _ => self.theme.bad(),
        };
        let state = format!(" {} ", condition.name().to_uppercase());
        let start = info.start_unix_ns;
        // Up to the moment that is shown, so that a dead engine's clock stands still.
        let end = if condition.is_up() {
            self.session.latest().at.unix_ns
        } else {
            self.session.latest().snapshot.engine.heartbeat_unix_ns
        };
        let up = end.checked_sub(start).filter(|_| start > 0 && end > 0);
        let up = up.map_or(String::new(), |ns| {
            format!(" up {}", age(std::time::Duration::from_nanos(ns)))
        });
        let mut spans = vec![
            Span::styled(state, style),
            Span::raw(up),
            Span::raw(format!(
                "  {} {} pid {}",
                clean(&info.service),
                clean(&info.version),
                info.pid
            )),
        ];
        let every = format!("  every {} s", self.interval().as_secs_f64());
        if width >= 60 {
            spans.push(Span::styled(every, self.theme.dim()));
        }
        if width >= 90 {
            spans.push(Span::styled(
                format!("  {}", clean(&self.session.path().to_string_lossy())),
                self.theme.dim(),
            ));
        }
        Line::from(spans)
    }

    /// What must not be missed.
    fn alarm(&self, now: Now) -> Option<(String, Style)> {
        let condition = self.session.condition();
        let (latest, theme) = (self.session.latest(), self.theme);
        let stuck: Vec<String> = latest
            .snapshot
            .writers
            .iter()
            .enumerate()
            .filter_map(|(i, writer)| {
                let still = self.session.stuck(i, now)?;
                Some(format!("{} for {}", clean(&writer.name), age(still)))
            })
            .collect();
        if !condition.is_up() {
            let panic = latest
                .snapshot
                .engine
                .panic_text
                .as_deref()
                .and_then(|text| text.lines().next());
            let why = panic.map_or_else(|| condition.why(), |text| format!("panic: {}", clean(text)));
            let beat = latest.snapshot.engine.heartbeat_unix_ns;
            let last = now.unix_ns.checked_sub(beat).filter(|_| beat > 0);
            let last = last.map_or(String::new(), |ns| {
                format!("last heartbeat {} ago; ", age(std::time::Duration::from_nanos(ns)))
            });
            return Some((format!("OLD NUMBERS: {last}{why}"), theme.bad()));
        }
        if !stuck.is_empty() {
            return Some((format!("STUCK INSIDE A ROUND: {}", stuck.join(", ")), theme.bad()));
        }
        let paused = self.paused?;
        Some((
            format!("PAUSED: numbers of {}; p goes on", rfc3339_seconds(paused.unix_ns)),
            theme.warn(),
        ))
    }

    fn tabs(&self, place: Place, width: u16) -> Line<'static> {
        // Names where there is room for them, else numbers and the name of the one that is open.
        let named: usize = Pane::ALL.iter().map(|pane| pane.name().len() + 4).sum();
        let has_room = usize::from(width) >= named;
        let mut spans = Vec::new();
        for (i, pane) in Pane::ALL.iter().enumerate() {
            let is_open = *pane == self.pane && self.picker.is_none();
            let name = if has_room || is_open {
                format!(" {} {} ", i + 1, pane.name())
            } else {
                format!(" {} ", i + 1)
            };
            spans.push(Span::styled(
                name,
                if is_open { self.theme.selected() } else { Style::new() },
            ));
        }
        if place.count > place.height {
            spans.push(Span::styled(
                format!(" row {}/{}", place.row + 1, place.count),
                self.theme.dim(),
            ));
        }
        Line::from(spans)
    }

    fn footer(&self, now: Now) -> Line<'static> {
        if self.is_typing {
            return Line::from(format!("/{}_", clean(&self.filter)));
        }
        if let Some(notice) = &self.notice {
            return Line::styled(clean(notice).into_owned(), self.theme.warn());
        }
        let mut parts = Vec::new();
        if !self.filter.is_empty() && self.pane != Pane::Overview {
            parts.push(format!("filter \"{}\" (Esc drops it)", clean(&self.filter)));
        }
        if self.hides_zeros {
            parts.push("zeros hidden (z)".into());
        }
        if self.paused.is_some() && !self.session.condition().is_up() {
            parts.push("PAUSED".into());
        }
        parts.push("q quit  ? help  TAB pane  / filter  p pause  e engines".into());
        let left = parts.join("  ");
        Line::from(vec![
            Span::styled(left, self.theme.dim()),
            Span::styled(format!("  {}", rfc3339_seconds(now.unix_ns)), self.theme.dim()),
        ])
    }

    fn draw_page(&self, place: &mut Place, frame: &mut Frame<'_>, area: Rect, page: &Page<'_>) {
        let mut rest = Rows(area);
        for line in &page.header {
            if rest.height() < 2 {
                break;
            }
            rest.line(frame, line.clone());
        }
        let theme = self.theme;
        let is_up = self.session.condition().is_up() || self.picker.is_some();
        let row = place.row.min(page.count.saturating_sub(1));
        let chosen: Option<Row> = (page.count > 0).then(|| (page.row)(row));
        let help = chosen.and_then(|row| row.help).unwrap_or_default();
        // The help of the chosen row, where rows are left above it.
        let help = wrapped(&help, area.width, HELP_LINES_MAX);
        let help_height = help.len() as u16;
        let help_area = (rest.height() >= help_height + HELP_LEAVES && help_height > 0).then(|| rest.feet(help_height));
        let height = usize::from(rest.height());
        place.fit(page.count, height);
        for i in place.scroll..page.count.min(place.scroll + height) {
            let mut line = (page.row)(i).line;
            if !is_up {
                line = line.patch_style(theme.dim());
            }
            if i == place.row {
                line = line.patch_style(theme.selected());
            }
            rest.line(frame, line);
        }
        if let Some(area) = help_area {
            let mut rows = Rows(area);
            for line in help {
                rows.line(frame, Line::styled(line, theme.title()));
            }
        }
    }

    fn draw_help(&self, frame: &mut Frame<'_>, area: Rect) {
        let mut lines = vec![Line::styled("Keys", self.theme.title())];
        lines.extend(
            keys::HELP
                .iter()
                .map(|(keys, what)| Line::from(format!("{keys:<15} {what}"))),
        );
        lines.extend(ABOUT.iter().map(|line| Line::from(*line)));
        let height = (lines.len() as u16).min(area.height);
        let area = Rect { height, ..area };
        frame.render_widget(Clear, area);
        let mut rows = Rows(area);
        for line in lines {
            rows.line(frame, line);
        }
    }
}

const ABOUT: [&str; 6] = [
    "",
    "now is since the last look; 10 s and 100 s are averages, over less where less was seen.",
    "Stages: the last interval beside the whole run; \"x run\" is p99 of the first by the second.",
    "LIVE: it holds its file and moves. STALLED: holds it, nothing moved for 5 s. CRASHED: the lock",
    "is free without a word. STUCK: a thread inside one round for 5 s. After an end the numbers are",
    "the last ones and dim, rates are \"-\".",
];
/// From this height on an alarm may take several lines.
const TALL: u16 = 12;
const ALARM_LINES_MAX: usize = 3;
/// A metric's help may be a kilobyte.
const HELP_LINES_MAX: usize = 3;
/// Rows that stay above it.
const HELP_LEAVES: u16 = 4;

/// Words into lines of that width, at most so many.
fn wrapped(text: &str, width: u16, most: usize) -> Vec<String> {
    let width = usize::from(width);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &str| Span::raw(line).width() + 1 + Span::raw(word).width() <= width;
        if let Some(line) = lines.last_mut().filter(|line| fits(line.as_str())) {
            line.push(' ');
            line.push_str(word);
        } else if lines.len() < most {
            lines.push(cut(word, width));
        } else {
            break;
        }
    }
    lines
}

/// What is left of an area from the top.
struct Rows(Rect);

impl Rows {
    fn height(&self) -> u16 {
        self.0.height
    }

    fn line(&mut self, frame: &mut Frame<'_>, line: Line<'_>) {
        let head = self.head();
        frame.render_widget(line, head);
    }

    fn head(&mut self) -> Rect {
        let head = Rect {
            height: self.0.height.min(1),
            ..self.0
        };
        self.0.y += head.height;
        self.0.height -= head.height;
        head
    }

    fn foot(&mut self) -> Rect {
        self.feet(1)
    }

    fn feet(&mut self, height: u16) -> Rect {
        self.0.height -= height;
        Rect {
            y: self.0.bottom(),
            height,
            ..self.0
        }
    }
}
