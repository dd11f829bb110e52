//! The flight recorder's last events.

use ratatui::text::Line;

use super::{Page, Row};
use crate::session::Now;
use crate::top::app::App;

pub(super) fn page(_app: &App, _now: Now, _width: u16) -> Page<'static> {
    Page::of(
        Vec::new(),
        vec![Row::new(Line::from("this region has no flight recorder"))],
    )
}
