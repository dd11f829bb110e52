//! The panes: each makes lines from the session; where they go on the screen is not theirs to know.

mod books;
pub(super) mod engines;
mod events;
mod metrics;
mod models;
mod overview;
mod stages;

use quantumflow_region::{Metric, SeriesMeta};
use ratatui::text::Line;

use super::app::App;
use crate::session::Now;
use crate::text::{clean, series_name};

/// One pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Overview,
    Stages,
    Books,
    Models,
    Metrics,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 6] = [
        Self::Overview,
        Self::Stages,
        Self::Books,
        Self::Models,
        Self::Metrics,
        Self::Events,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Stages => "Stages",
            Self::Books => "Books",
            Self::Models => "Models",
            Self::Metrics => "Metrics",
            Self::Events => "Events",
        }
    }

    /// The pane so many further, around the end.
    pub(super) fn step(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }

    pub(super) fn page(self, app: &App, now: Now, width: u16) -> Page<'_> {
        match self {
            Self::Overview => overview::page(app, now, width),
            Self::Stages => stages::page(app, width),
            Self::Books => books::page(app, now, width),
            Self::Models => models::page(app, width),
            Self::Metrics => metrics::page(app, width),
            Self::Events => events::page(app, now, width),
        }
    }
}

/// What a pane shows: lines that stay, and rows of which only those in sight are made.
pub(super) struct Page<'a> {
    pub(super) header: Vec<Line<'static>>,
    pub(super) count: usize,
    pub(super) row: Box<dyn Fn(usize) -> Row + 'a>,
}

/// One row, and the help that is shown while it is chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) line: Line<'static>,
    pub(super) help: Option<String>,
}

impl Page<'_> {
    /// Of rows that are made already.
    fn of(header: Vec<Line<'static>>, rows: Vec<Row>) -> Self {
        Self {
            header,
            count: rows.len(),
            row: Box::new(move |i| rows.get(i).cloned().unwrap_or_default()),
        }
    }
}

impl Row {
    fn new(line: Line<'static>) -> Self {
        Self { line, help: None }
    }

    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A metric in its own words.
fn help_of(meta: &SeriesMeta) -> String {
    let unit = match meta.unit.name() {
        "none" => String::new(),
        unit => format!(", {unit}"),
    };
    format!(
        "{} ({}{unit}): {}",
        series_name(meta),
        meta.kind.name(),
        clean(&meta.help)
    )
}

/// The metric's sentence as the region says it, or as this program knows it where the region has no such series.
fn help_for(app: &App, metric: &Metric) -> String {
    let said = app
        .session
        .series(metric, &[])
        .map(|series| clean(&series.meta.help).into_owned());
    format!("{}: {}", metric.name, said.unwrap_or_else(|| metric.help.to_owned()))
}
